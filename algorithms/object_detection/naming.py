"""The names that AWS's graphs have for the arrays of a detector: freeze_layer_pattern and log lines know
them.

ours                    AWS's
base.conv1_1.weight     conv1_1_weight
base.layer3.0.bn1.bias  stage3_unit1_bn1_beta                 (`vision.weights.naming`)
base.relu4_3_scale      relu4_3_scale
extras.0.1.bias         multi_feat_2_conv_3x3_conv_bias
scores.0.weight         relu4_3_cls_pred_conv_weight | _plus12_cls_pred_conv_weight
offsets.2.bias          multi_feat_2_conv_3x3_relu_loc_pred_conv_bias
"""

from __future__ import annotations

from optml.algorithms.object_detection.design import Base
from optml.algorithms.vision.weights.naming import zoo_name

LAYERS: dict[Base, tuple[str, str]] = {"vgg-16": ("relu4_3", "relu7"), "resnet-50": ("_plus12", "_plus15")}
_HEADS = {"scores": "cls_pred_conv", "offsets": "loc_pred_conv"}


def aws_name(name: str, base: Base) -> str:
    """An array of a `Detector` by AWS's name, without `arg:` and `aux:`."""
    part, _, rest = name.partition(".")
    if part == "base":
        return rest.replace(".", "_") if base == "vgg-16" else zoo_name(rest)
    number, _, kind = rest.partition(".")
    if part == "extras":
        place, _, kind = kind.partition(".")
        return f"multi_feat_{int(number) + 2}_conv_{('1x1', '3x3')[int(place)]}_conv_{kind}"
    own = LAYERS[base]
    layer = own[int(number)] if int(number) < len(own) else f"multi_feat_{number}_conv_3x3_relu"
    return f"{layer}_{_HEADS[part]}_{kind}"
