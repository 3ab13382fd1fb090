"""Lightning: a LightningModule and a Trainer, with logger, checkpoints and progress bar switched off."""

import logging
import warnings

import lightning
import torch
from torch.utils.data import DataLoader, TensorDataset
from training_measure import Clock, Job
from training_nets import as_tensors, build, loss_of

logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
warnings.filterwarnings("ignore", ".*num_workers.*")


class Classifier(lightning.LightningModule):
    def __init__(self, job):
        super().__init__()
        self.model = build(job.about)
        self.rate = job.rate

    def training_step(self, batch, _):
        inputs, labels = batch
        return loss_of(self.model(inputs), labels)

    def predict_step(self, batch, _):
        return self.model(batch[0])

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), self.rate)


class Times(lightning.Callback):
    def on_train_start(self, *_):
        clock.epoch_ended()

    def on_train_batch_end(self, *_):
        clock.stepped()

    def on_train_epoch_end(self, *_):
        clock.epoch_ended()


job = Job()
clock = Clock(job)
torch.set_num_threads(job.threads)
lightning.seed_everything(job.seed, verbose=False)
loader = DataLoader(TensorDataset(*as_tensors(job.about, *job.arrays("train"))), job.batch, shuffle=True)
trainer = lightning.Trainer(
    max_epochs=job.epochs,
    accelerator="cpu",
    logger=False,
    enable_checkpointing=False,
    enable_progress_bar=False,
    enable_model_summary=False,
    callbacks=[Times()],
)
module = Classifier(job)
trainer.fit(module, loader)

inputs, labels = as_tensors(job.about, *job.arrays("test"))
scores = torch.cat(trainer.predict(module, DataLoader(TensorDataset(inputs), 500)))
parameters = sum(parameter.numel() for parameter in module.parameters())
version = f"Lightning {lightning.__version__}, PyTorch {torch.__version__}"
clock.report(scores.numpy(), labels.numpy(), parameters, version)
