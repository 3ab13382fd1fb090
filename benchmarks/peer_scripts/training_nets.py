"""The benchmark's networks in plain PyTorch, as a good tutorial writes them: pictures (B, C, H, W), ids (B, T)."""

import torch
from torch import nn
from torch.nn import functional


def build(about):
    return KINDS[about["kind"]](about)


def loss_of(scores, labels):
    if scores.shape[1] == 1:
        return functional.binary_cross_entropy_with_logits(scores[:, 0], labels.float())
    return functional.cross_entropy(scores, labels)


def as_tensors(about, inputs, labels):
    """Turn NumPy arrays into the tensors that these networks take."""
    x = torch.from_numpy(inputs)
    if about["kind"] in ("cnn", "resnet"):
        x = x.permute(0, 3, 1, 2).contiguous()
    elif about["kind"] != "mlp":
        x = x.long()
    return x, torch.from_numpy(labels)


def _he(layer, mode="fan_in"):
    nn.init.kaiming_normal_(layer.weight, mode=mode, nonlinearity="relu")
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


def _output(width, about):
    layer = nn.Linear(width, about["outputs"])
    nn.init.xavier_uniform_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


class Cnn(nn.Sequential):
    def __init__(self, about):
        height, width, channels = about["shape"]
        layers = []
        for filters in (32, 64, 128):
            layers += [_he(nn.Conv2d(channels, filters, 3, padding=1)), nn.ReLU(), nn.MaxPool2d(2)]
            channels = filters
        flat = channels * (height // 8) * (width // 8)
        super().__init__(*layers, nn.Flatten(), _he(nn.Linear(flat, 128)), nn.ReLU(), _output(128, about))


class Mlp(nn.Sequential):
    def __init__(self, about):
        width = about["shape"][0]
        super().__init__(_he(nn.Linear(width, 128)), nn.ReLU(), _he(nn.Linear(128, 64)), nn.ReLU(), _output(64, about))


class Average(nn.Module):
    def __init__(self, about):
        super().__init__()
        self.embedding = nn.EmbeddingBag(about["vocabulary"], 64, mode="mean", padding_idx=0)
        nn.init.normal_(self.embedding.weight, std=0.05)
        self.dense = nn.Sequential(_he(nn.Linear(64, 64)), nn.ReLU(), _output(64, about))

    def forward(self, ids):
        return self.dense(self.embedding(ids))


class Lstm(nn.Module):
    def __init__(self, about):
        super().__init__()
        self.embedding = nn.Embedding(about["vocabulary"], 128)
        nn.init.normal_(self.embedding.weight, std=128**-0.5)
        self.lstm = nn.LSTM(128, 128, batch_first=True)
        for name, parameter in self.lstm.named_parameters():
            if name.startswith("bias"):
                nn.init.zeros_(parameter)
                if name.startswith("bias_ih"):
                    nn.init.ones_(parameter[128:256])  # the forget gate
            else:
                for gate in parameter.chunk(4):
                    (nn.init.orthogonal_ if name.startswith("weight_hh") else nn.init.xavier_uniform_)(gate)
        self.output = _output(128, about)

    def forward(self, ids):
        states, _ = self.lstm(self.embedding(ids))
        return self.output(states[:, -1])


class Encoder(nn.Module):
    def __init__(self, about):
        super().__init__()
        width, layers = 256, 4
        self.embedding = nn.Embedding(about["vocabulary"], width)
        self.positions = nn.Parameter(torch.empty(about["shape"][0], width))
        layer = nn.TransformerEncoderLayer(width, 4, 4 * width, 0.1, "gelu", batch_first=True)
        self.layers = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)
        self.dropout = nn.Dropout(0.1)
        self.output = nn.Linear(width, about["outputs"])
        for parameter in self.parameters():
            if parameter.ndim > 1:
                nn.init.normal_(parameter, std=0.02)
        for one in self.layers.layers:
            one.self_attn.dropout = 0.0
            for last in (one.self_attn.out_proj, one.linear2):
                nn.init.normal_(last.weight, std=0.02 / (2 * layers) ** 0.5)

    def forward(self, ids):
        x = self.layers(self.dropout(self.embedding(ids) + self.positions))
        return self.output(self.dropout(x.mean(1)))


class _Block(nn.Module):
    def __init__(self, channels, filters, stride):
        super().__init__()
        self.first, self.first_norm = (
            _he(_convolution(channels, filters, 3, stride), "fan_out"),
            nn.BatchNorm2d(filters),
        )
        self.second, self.second_norm = _he(_convolution(filters, filters, 3, 1), "fan_out"), nn.BatchNorm2d(filters)
        nn.init.zeros_(self.second_norm.weight)
        self.shortcut = nn.Identity()
        if stride != 1 or channels != filters:
            projection = _he(_convolution(channels, filters, 1, stride), "fan_out")
            self.shortcut = nn.Sequential(projection, nn.BatchNorm2d(filters))

    def forward(self, x):
        y = functional.relu(self.first_norm(self.first(x)))
        return functional.relu(self.shortcut(x) + self.second_norm(self.second(y)))


def _convolution(channels, filters, kernel, stride):
    return nn.Conv2d(channels, filters, kernel, stride, kernel // 2, bias=False)


class ResNet18(nn.Sequential):
    def __init__(self, about):
        channels = 64
        layers = [_he(_convolution(about["shape"][2], 64, 3, 1), "fan_out"), nn.BatchNorm2d(64), nn.ReLU()]
        for stage in range(4):
            for index in range(2):
                filters = 64 << stage
                layers.append(_Block(channels, filters, 2 if stage > 0 and index == 0 else 1))
                channels = filters
        super().__init__(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), _output(channels, about))


KINDS = {"cnn": Cnn, "mlp": Mlp, "average": Average, "lstm": Lstm, "encoder": Encoder, "resnet": ResNet18}
