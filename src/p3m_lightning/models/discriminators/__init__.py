"""Discriminators of StyleMatteGAN: RGBA pictures with adaptive augmentation, and composites by frozen features."""

from p3m_lightning.models.discriminators.augment import AdaptiveStrength, Augmentation
from p3m_lightning.models.discriminators.features import FrozenFeatures
from p3m_lightning.models.discriminators.residual import Discriminator
from p3m_lightning.models.discriminators.vision_aided import VisionAidedDiscriminator

__all__ = ["AdaptiveStrength", "Augmentation", "Discriminator", "FrozenFeatures", "VisionAidedDiscriminator"]
