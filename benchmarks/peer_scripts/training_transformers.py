"""Hugging Face: the Trainer and a BERT of the same shape from scratch, mean pooling, one linear layer.

BERT's norm of the embeddings is taken out and its table of segments has one row, so that the layers are the same.
"""

import tempfile

import torch
import transformers
from torch import nn
from torch.utils.data import Dataset
from training_measure import Clock, Job
from training_nets import as_tensors, loss_of
from transformers import BertConfig, BertModel, Trainer, TrainerCallback, TrainingArguments, set_seed


class Rows(Dataset):
    def __init__(self, inputs, labels):
        self.inputs, self.labels = inputs, labels

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, index):
        return {"input_ids": self.inputs[index], "labels": self.labels[index]}


class Classifier(nn.Module):
    def __init__(self, about):
        super().__init__()
        config = BertConfig(
            vocab_size=about["vocabulary"],
            hidden_size=256,
            num_hidden_layers=4,
            num_attention_heads=4,
            intermediate_size=1024,
            max_position_embeddings=about["shape"][0],
            type_vocab_size=1,
            hidden_dropout_prob=0.1,
            attention_probs_dropout_prob=0.0,
            layer_norm_eps=1e-5,
            attn_implementation="sdpa",
        )
        self.bert = BertModel(config, add_pooling_layer=False)
        self.bert.embeddings.LayerNorm = nn.Identity()
        for layer in self.bert.encoder.layer:
            for last in (layer.attention.output.dense, layer.output.dense):
                nn.init.normal_(last.weight, std=0.02 / 8**0.5)
        self.dropout = nn.Dropout(0.1)
        self.output = nn.Linear(256, about["outputs"])
        nn.init.normal_(self.output.weight, std=0.02)
        nn.init.zeros_(self.output.bias)

    def forward(self, input_ids, labels=None):
        scores = self.output(self.dropout(self.bert(input_ids).last_hidden_state.mean(1)))
        return {"loss": None if labels is None else loss_of(scores, labels), "logits": scores}


class Times(TrainerCallback):
    def on_train_begin(self, *_, **__):
        clock.epoch_ended()

    def on_step_end(self, *_, **__):
        clock.stepped()

    def on_epoch_end(self, *_, **__):
        clock.epoch_ended()


job = Job()
clock = Clock(job)
torch.set_num_threads(job.threads)
set_seed(job.seed)
model = Classifier(job.about)
with tempfile.TemporaryDirectory() as folder:
    settings = TrainingArguments(
        folder,
        per_device_train_batch_size=job.batch,
        num_train_epochs=job.epochs,
        learning_rate=job.rate,
        lr_scheduler_type="constant",
        optim="adamw_torch",
        weight_decay=0.0,
        max_grad_norm=0.0,
        seed=job.seed,
        use_cpu=True,
        save_strategy="no",
        logging_strategy="no",
        report_to="none",
        disable_tqdm=True,
        dataloader_pin_memory=False,
    )
    rows = Rows(*as_tensors(job.about, *job.arrays("train")))
    Trainer(model, settings, train_dataset=rows, callbacks=[Times()]).train()

inputs, labels = as_tensors(job.about, *job.arrays("test"))
model.eval()
with torch.no_grad():
    answers = [model(part)["logits"] for part in inputs.split(500)]
parameters = sum(parameter.numel() for parameter in model.parameters())
version = f"Transformers {transformers.__version__}, PyTorch {torch.__version__}"
clock.report(torch.cat(answers).numpy(), labels.numpy(), parameters, version)
