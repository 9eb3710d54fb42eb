"""The student: a small convolutional network made of integer-friendly operators only.

Dense 3x3 convolutions early (few channels: cheap, and fast in both training and tract's float
path), depthwise blocks late, where dense ones would hold most of the parameters.
"""

import torch
from torch import nn

FEATURES = 1280
INPUT = 160

# kind, output channels, expansion, stride, repeats. 'fused' is a dense 3x3 followed by a 1x1.
STAGES = (
    ("fused", 32, 2, 2, 2),
    ("fused", 48, 3, 2, 3),
    ("fused", 96, 3, 2, 1),
    ("split", 96, 4, 1, 4),
    ("split", 192, 4, 2, 4),
)
STEM = 24
# The stages whose outputs the teacher's inner maps guide (strides 8, 16 and 32).
HINT_STAGES = (1, 2, 3, 4)


def conv(inputs, outputs, kernel, stride=1, groups=1, relu=True):
    """Convolution and batch norm, which the export folds into one."""
    layers = [
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False),
        # A slow average would still be wrong after these few thousand steps.
        nn.BatchNorm2d(outputs, momentum=0.05),
    ]
    return nn.Sequential(*layers, nn.ReLU(inplace=True)) if relu else nn.Sequential(*layers)


class Block(nn.Module):
    """An inverted residual block: expand, filter, project; added to its input where shapes allow."""

    def __init__(self, kind, inputs, outputs, expansion, stride, kernel=3):
        super().__init__()
        hidden = inputs * expansion
        if kind == "fused":
            filters = [conv(inputs, hidden, kernel, stride)]
        else:
            filters = [conv(inputs, hidden, 1), conv(hidden, hidden, kernel, stride, groups=hidden)]
        self.body = nn.Sequential(*filters, conv(hidden, outputs, 1, relu=False))
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x):
        return x + self.body(x) if self.residual else self.body(x)


class Student(nn.Module):
    def __init__(self, stem=STEM, stages=STAGES, features=FEATURES):
        super().__init__()
        self.stem = conv(3, stem, 3, stride=2)
        self.stages = nn.ModuleList()
        channels = stem
        for kind, outputs, expansion, stride, repeats in stages:
            blocks = []
            for repeat in range(repeats):
                blocks.append(Block(kind, channels, outputs, expansion, stride if repeat == 0 else 1))
                channels = outputs
            self.stages.append(nn.Sequential(*blocks))
        self.top = conv(channels, features, 1)

    def forward(self, x):
        """Returns the feature map and the output of every stage."""
        x = self.stem(x)
        maps = []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        return self.top(x), maps
