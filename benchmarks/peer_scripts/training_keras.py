"""Keras 3 on TensorFlow or PyTorch: the same networks from its layers, trained by `fit` on arrays."""

import os

from training_measure import Clock, Job

job = Job()
os.environ["KERAS_BACKEND"] = job.backend
if job.backend == "tensorflow":
    import tensorflow

    tensorflow.config.threading.set_intra_op_parallelism_threads(job.threads)
    backend = f"TensorFlow {tensorflow.__version__}"
else:
    import torch

    torch.set_num_threads(job.threads)
    backend = f"PyTorch {torch.__version__}"
import keras  # noqa: E402 - it looks for its backend when it is imported
from keras import layers  # noqa: E402

HE = "he_normal"
FAN_OUT = {"class_name": "VarianceScaling", "config": {"scale": 2.0, "mode": "fan_out", "distribution": "normal"}}


def normal(deviation):
    return keras.initializers.RandomNormal(stddev=deviation)


def cnn(about):
    inputs = x = keras.Input(about["shape"])
    for filters in (32, 64, 128):
        x = layers.Conv2D(filters, 3, padding="same", activation="relu", kernel_initializer=HE)(x)
        x = layers.MaxPooling2D(2)(x)
    x = layers.Dense(128, activation="relu", kernel_initializer=HE)(layers.Flatten()(x))
    return keras.Model(inputs, layers.Dense(about["outputs"])(x))


def mlp(about):
    inputs = x = keras.Input(about["shape"])
    for units in (128, 64):
        x = layers.Dense(units, activation="relu", kernel_initializer=HE)(x)
    return keras.Model(inputs, layers.Dense(about["outputs"])(x))


def average(about):
    inputs = keras.Input(about["shape"], dtype="int32")
    x = layers.Embedding(about["vocabulary"], 64, embeddings_initializer=normal(0.05), mask_zero=True)(inputs)
    x = layers.GlobalAveragePooling1D()(x)
    x = layers.Dense(64, activation="relu", kernel_initializer=HE)(x)
    return keras.Model(inputs, layers.Dense(about["outputs"])(x))


def lstm(about):
    inputs = keras.Input(about["shape"], dtype="int32")
    x = layers.Embedding(about["vocabulary"], 128, embeddings_initializer=normal(128**-0.5))(inputs)
    return keras.Model(inputs, layers.Dense(about["outputs"])(layers.LSTM(128)(x)))


class Positions(layers.Layer):
    def build(self, shape):
        self.table = self.add_weight(shape=shape[1:], initializer=normal(0.02), name="table")

    def call(self, x):
        return x + self.table


def encoder(about):
    width, count, heads = 256, 4, 4
    last = normal(0.02 / (2 * count) ** 0.5)
    inputs = keras.Input(about["shape"], dtype="int32")
    x = layers.Embedding(about["vocabulary"], width, embeddings_initializer=normal(0.02))(inputs)
    x = layers.Dropout(0.1)(Positions()(x))
    for _ in range(count):
        attention = layers.MultiHeadAttention(heads, width // heads, kernel_initializer=normal(0.02))
        x = layers.LayerNormalization(epsilon=1e-5)(x + layers.Dropout(0.1)(attention(x, x)))
        y = layers.Dense(4 * width, activation="gelu", kernel_initializer=normal(0.02))(x)
        y = layers.Dense(width, kernel_initializer=last)(y)
        x = layers.LayerNormalization(epsilon=1e-5)(x + layers.Dropout(0.1)(y))
    x = layers.Dropout(0.1)(layers.GlobalAveragePooling1D()(x))
    return keras.Model(inputs, layers.Dense(about["outputs"], kernel_initializer=normal(0.02))(x))


def resnet(about):
    def convolution(x, filters, kernel, stride, gamma="ones"):
        x = layers.Conv2D(filters, kernel, stride, padding="same", use_bias=False, kernel_initializer=FAN_OUT)(x)
        return layers.BatchNormalization(momentum=0.9, epsilon=1e-5, gamma_initializer=gamma)(x)

    inputs = keras.Input(about["shape"])
    x = layers.ReLU()(convolution(inputs, 64, 3, 1))
    for stage in range(4):
        for index in range(2):
            filters, stride = 64 << stage, 2 if stage > 0 and index == 0 else 1
            y = layers.ReLU()(convolution(x, filters, 3, stride))
            y = convolution(y, filters, 3, 1, "zeros")
            shortcut = x if stride == 1 else convolution(x, filters, 1, stride)
            x = layers.ReLU()(layers.Add()([shortcut, y]))
    return keras.Model(inputs, layers.Dense(about["outputs"])(layers.GlobalAveragePooling2D()(x)))


class Times(keras.callbacks.Callback):
    def on_epoch_end(self, epoch, logs=None):
        clock.epoch_ended()


clock = Clock(job)
keras.utils.set_random_seed(job.seed)
inputs, labels = job.arrays("train")
model = {"cnn": cnn, "mlp": mlp, "average": average, "lstm": lstm, "encoder": encoder, "resnet": resnet}[job.kind](
    job.about
)
binary = job.about["outputs"] == 1
loss = (keras.losses.BinaryCrossentropy if binary else keras.losses.SparseCategoricalCrossentropy)(from_logits=True)
model.compile(keras.optimizers.Adam(job.rate, epsilon=1e-8), loss)
# A callback at every batch would slow `fit` down, so the first step is a fit of its own, on one batch.
model.fit(inputs[: job.batch], labels[: job.batch], batch_size=job.batch, verbose=0)
clock.stepped()
clock.epoch_ended()
model.fit(inputs, labels, batch_size=job.batch, epochs=job.epochs, verbose=0, callbacks=[Times()])

inputs, labels = job.arrays("test")
scores = model.predict(inputs, batch_size=500, verbose=0)
parameters = sum(weight.shape.num_elements() if hasattr(weight.shape, "num_elements") else weight.value.numel()
                 for weight in model.trainable_weights)  # fmt: skip
clock.report(scores, labels, parameters, f"Keras {keras.__version__}, {backend}")
