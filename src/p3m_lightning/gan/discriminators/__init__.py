"""Discriminators of StyleMatteGAN: one of RGBA with adaptive augmentation, and one of composites by frozen features."""

from p3m_lightning.gan.discriminators.augment import AdaptiveStrength, Augmentation
from p3m_lightning.gan.discriminators.features import FrozenFeatures
from p3m_lightning.gan.discriminators.residual import Discriminator
from p3m_lightning.gan.discriminators.vision_aided import VisionAidedDiscriminator

__all__ = ["AdaptiveStrength", "Augmentation", "Discriminator", "FrozenFeatures", "VisionAidedDiscriminator"]
