"""The student: a small convolutional network made of integer-friendly operators only.

Dense 3x3 convolutions throughout: at these widths they train faster per unit of capacity than
depthwise ones on a CPU, and suit tract's float path.
"""

from torch import nn

from backbone import FEATURES

# Output channels, stride, repeats.
STAGES = (
    (32, 2, 2),
    (64, 2, 3),
    (128, 2, 2),
    (128, 1, 2),
    (256, 2, 3),
)
STEM = 24
# The stages whose outputs the teacher's inner maps guide (strides 8, 16, 16 and 32).
HINTS = (1, 2, 3, 4)


def conv(inputs, outputs, kernel, stride=1, relu=True):
    """Convolution and batch norm, which the export folds into one."""
    layers = [
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False),
        # A slow average would still be wrong after these few thousand steps.
        nn.BatchNorm2d(outputs, momentum=0.05),
    ]
    return nn.Sequential(*layers, nn.ReLU(inplace=True)) if relu else nn.Sequential(*layers)


class Block(nn.Module):
    """A dense 3x3 that filters and a 1x1 that mixes; added to its input where shapes allow."""

    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.body = nn.Sequential(conv(inputs, inputs, 3, stride), conv(inputs, outputs, 1, relu=False))
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x):
        return x + self.body(x) if self.residual else self.body(x)


class Student(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = conv(3, STEM, 3, stride=2)
        self.stages = nn.ModuleList()
        channels = STEM
        for outputs, stride, repeats in STAGES:
            blocks = []
            for repeat in range(repeats):
                blocks.append(Block(channels, outputs, stride if repeat == 0 else 1))
                channels = outputs
            self.stages.append(nn.Sequential(*blocks))
        self.top = conv(channels, FEATURES, 1)

    def forward(self, x):
        """Returns the feature map and the outputs of the HINTS stages."""
        x = self.stem(x)
        hints = []
        for index, stage in enumerate(self.stages):
            x = stage(x)
            if index in HINTS:
                hints.append(x)
        return self.top(x), hints
