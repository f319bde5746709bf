"""OpenFace 3.0: of its three branches, the one of expressions."""

import timm
import torch
from torch import nn


class Multitask(nn.Module):
    """An EfficientNet-B0 with a hidden layer and a last one for each task; the graph of Action Units is left out."""

    def __init__(self):
        super().__init__()
        self.base_model = timm.create_model("tf_efficientnet_b0.ns_jft_in1k", pretrained=False)
        self.base_model.classifier = nn.Identity()
        self.fc_emotion, self.fc_gaze, self.fc_au = (nn.Linear(1280, 1280) for _ in range(3))
        self.emotion_classifier, self.gaze_regressor = nn.Linear(1280, 8), nn.Linear(1280, 2)
        self.au_regressor = nn.ModuleDict({"main_class_linears": nn.Linear(1280, 8), "sc": nn.Linear(8, 8)})


def test_expressions(loaded, trained, images):
    theirs = trained(Multitask())
    expected = theirs.emotion_classifier(torch.relu(theirs.fc_emotion(theirs.base_model(images))))
    torch.testing.assert_close(loaded("openface3_expression", theirs.state_dict())(images), expected)
