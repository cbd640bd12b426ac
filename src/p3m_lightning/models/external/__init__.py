"""External networks: ONNX, TorchScript or torch.export files, described by a card, with the interface of ours."""

from p3m_lightning.models.external.card import Card, card_of_weights, card_path, read_card
from p3m_lightning.models.external.network import EXTERNAL, External, load_external

__all__ = ["EXTERNAL", "Card", "External", "card_of_weights", "card_path", "load_external", "read_card"]
