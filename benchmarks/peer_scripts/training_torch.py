"""PyTorch: the loop of a good tutorial; DataLoader over tensors, float32, Adam."""

import torch
from torch.utils.data import DataLoader, TensorDataset
from training_measure import Clock, Job
from training_nets import as_tensors, build, loss_of

job = Job()
clock = Clock(job)
torch.set_num_threads(job.threads)
torch.manual_seed(job.seed)
loader = DataLoader(TensorDataset(*as_tensors(job.about, *job.arrays("train"))), job.batch, shuffle=True)
model = build(job.about)
optimizer = torch.optim.Adam(model.parameters(), job.rate)
clock.epoch_ended()
for _ in range(job.epochs):
    model.train()
    for inputs, labels in loader:
        optimizer.zero_grad()
        loss = loss_of(model(inputs), labels)
        loss.backward()
        optimizer.step()
        clock.stepped()
    clock.epoch_ended()

inputs, labels = as_tensors(job.about, *job.arrays("test"))
model.eval()
with torch.no_grad():
    scores = torch.cat([model(part) for part in inputs.split(500)])
parameters = sum(parameter.numel() for parameter in model.parameters())
clock.report(scores.numpy(), labels.numpy(), parameters, f"PyTorch {torch.__version__}")
