"""Discriminators of StyleMatteGAN: RGBA pictures with adaptive augmentation, and composites by frozen features."""

from p3m_lightning.gan.discriminators.augment import AdaptiveStrength, Augmentation
from p3m_lightning.gan.discriminators.features import FrozenFeatures
from p3m_lightning.gan.discriminators.residual import Discriminator
from p3m_lightning.gan.discriminators.vision_aided import VisionAidedDiscriminator

__all__ = ["AdaptiveStrength", "Augmentation", "Discriminator", "FrozenFeatures", "VisionAidedDiscriminator"]
