"""Keras: a folder of pictures to batches, as its guide does it. Prints seconds for each epoch."""

import json
import sys
import time

import keras
import tensorflow as tf

folder, size, batch, epochs = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
started = time.perf_counter()
dataset = keras.utils.image_dataset_from_directory(
    folder, image_size=(size, size), batch_size=batch, shuffle=True, seed=0, verbose=False
).prefetch(tf.data.AUTOTUNE)
seconds, images = [], 0
for _ in range(epochs):
    images = sum(int(pixels.shape[0]) for pixels, _ in dataset)
    seconds.append(time.perf_counter() - started)
    started = time.perf_counter()
print(
    json.dumps(
        {"seconds": seconds, "images": images, "version": f"Keras {keras.__version__}, TensorFlow {tf.__version__}"}
    )
)
