"""PyTorch: a Dataset that opens pictures with PIL, and a DataLoader with two workers. Prints seconds for each epoch."""

import json
import os
import sys
import time

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset


class Folder(Dataset):
    def __init__(self, root, size):
        self.size = size
        self.classes = sorted(os.listdir(root))
        self.items = [
            (os.path.join(root, name, file), label)
            for label, name in enumerate(self.classes)
            for file in sorted(os.listdir(os.path.join(root, name)))
        ]

    def __len__(self):
        return len(self.items)

    def __getitem__(self, index):
        path, label = self.items[index]
        with Image.open(path) as image:
            pixels = image.convert("RGB").resize((self.size, self.size), Image.Resampling.BILINEAR)
        array = np.asarray(pixels, np.float32) / 255
        return torch.from_numpy(array).permute(2, 0, 1), label


folder, size, batch, epochs = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
started = time.perf_counter()
loader = DataLoader(Folder(folder, size), batch, shuffle=True, num_workers=2, persistent_workers=True)
seconds, images = [], 0
for _ in range(epochs):
    images = sum(len(labels) for _, labels in loader)
    seconds.append(time.perf_counter() - started)
    started = time.perf_counter()
print(
    json.dumps(
        {"seconds": seconds, "images": images, "version": f"PyTorch {torch.__version__}, Pillow {Image.__version__}"}
    )
)
