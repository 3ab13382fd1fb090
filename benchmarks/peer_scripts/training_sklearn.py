"""scikit-learn: MLPClassifier, an epoch at a time."""

import numpy as np
import sklearn
from sklearn.neural_network import MLPClassifier
from training_measure import Clock, Job, accuracy

job = Job()
clock = Clock(job)
inputs, labels = job.arrays("train")
model = MLPClassifier(
    (128, 64),
    solver="adam",
    alpha=0.0,
    batch_size=job.batch,
    learning_rate_init=job.rate,
    random_state=job.seed,
)
classes = np.unique(labels)
# It calls nobody back, so the first step is a fit of its own, on one batch; each further call is an epoch.
model.partial_fit(inputs[: job.batch], labels[: job.batch], classes=classes)
clock.stepped()
clock.epoch_ended()
for _ in range(job.epochs):
    model.partial_fit(inputs, labels)
    clock.epoch_ended()

inputs, labels = job.arrays("test")
scores = model.predict_proba(inputs)[:, 1] - 0.5
parameters = sum(array.size for array in (*model.coefs_, *model.intercepts_))
clock.report(accuracy(scores, labels), labels, parameters, f"scikit-learn {sklearn.__version__}")
