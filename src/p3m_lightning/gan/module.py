"""StyleMatteGANModule: a generator of RGBA portraits against two discriminators, with manual optimization."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping
from contextlib import nullcontext
from typing import Any, cast

import torch
from pytorch_lightning import LightningModule
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Optimizer

from p3m_lightning.gan.discriminators import AdaptiveStrength, Augmentation, VisionAidedDiscriminator
from p3m_lightning.gan.generator import Generator
from p3m_lightning.gan.host_values import HostValue
from p3m_lightning.gan.losses import discriminator_loss, generator_loss, squared_gradient
from p3m_lightning.ops import composite
from p3m_lightning.schema import InputError
from p3m_lightning.training.checkpointing import prepare_for_travel, take_home


class StyleMatteGANModule(LightningModule):
    """Train the generator of StyleMatteGAN (Chicherin et al., Adversarially-Guided Portrait Matting, 2023).

    Every step generates one batch, which trains first the generator and then the discriminators. All random draws of a
    step follow from the seed, the number of images seen and the process: a resumed run repeats an uninterrupted one.

    Args:
        generator: trained; its running average, `averaged`, is kept for sampling.
        discriminator: judges augmented RGBA images.
        augmentation: of the inputs of the discriminators.
        controller: adapts the strength of the augmentation.
        optimizers: `generator` and `discriminator`: factories `(parameters) -> Optimizer`.
        vision: judges augmented RGB composites of generated and of real portraits over the same backgrounds; or None.
        penalty: R1: `gamma`, and `interval`, the steps from one (lazy) regularization to the next.
        mixing: probability of style mixing.
        averaging: `half_life` of the averaged weights in images, at most the part `rampup` of those seen.
        vision_warmup: images before `vision` takes part; its weight is 0 before and 1 after.
        blur: `deviation` in pixels of the blur of all judged images, fading out over the first `images` ones.
        seed: of all draws.
        config: the resolved configuration, plain containers; stored in every checkpoint.
    """

    automatic_optimization = False
    seen: Tensor

    def __init__(
        self,
        generator: Generator,
        discriminator: nn.Module,
        augmentation: Augmentation,
        controller: AdaptiveStrength,
        optimizers: Mapping[str, Callable[..., Optimizer]],
        vision: VisionAidedDiscriminator | None = None,
        penalty: Mapping[str, float] | None = None,
        mixing: float = 0.0,
        averaging: Mapping[str, float] | None = None,
        vision_warmup: int = 0,
        blur: Mapping[str, float] | None = None,
        seed: int = 0,
        config: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.generator, self.discriminator, self.vision = generator, discriminator, vision
        self.averaged = copy.deepcopy(generator).eval().requires_grad_(False)
        self.augmentation, self.controller = augmentation, controller
        self.optimizer_factories = optimizers
        self.penalty = {"gamma": 10.0, "interval": 16} | dict(penalty or {})
        self.averaging = {"half_life": 10_000, "rampup": 0.05} | dict(averaging or {})
        self.blur = {"deviation": 0.0, "images": 200_000} | dict(blur or {})
        self.mixing, self.vision_warmup, self.seed = mixing, vision_warmup, seed
        self.config = dict(config or {})
        self._on_host = HostValue()
        self._synthesize: Callable[..., Tensor] = self.generator.synthesize
        self.register_buffer("seen", torch.zeros((), dtype=torch.int64))  # pictures, over all processes

    def compile_generator(self, backend: str) -> None:
        """Compile the generator for training; discriminators stay eager, since R1 differentiates them twice."""
        self._synthesize = torch.compile(self.generator.synthesize, backend=backend)

    def configure_optimizers(self) -> list[Optimizer]:
        """Build one optimizer for the generator and one for all discriminators."""
        judges = [*self.discriminator.parameters(), *(self.vision.heads.parameters() if self.vision else ())]
        try:
            return [
                self.optimizer_factories["generator"](list(self.generator.parameters())),
                self.optimizer_factories["discriminator"](judges),
            ]
        except (TypeError, ValueError) as error:
            raise InputError(f"optimizer: {error}") from error

    def training_step(self, batch: Mapping[str, Tensor], index: int) -> None:
        """Train the generator, then the discriminators."""
        seen = int(self._on_host.of(self.seen))
        torch.manual_seed(step_seed(self.seed, seen, self.global_rank))
        real, backgrounds = batch["rgba"], batch["background"]
        vision = self.vision if seen >= self.vision_warmup else None
        regularizes = (seen // (len(real) * self.trainer.world_size)) % self.penalty["interval"] == 0
        fake, logged = self._teach_generator(backgrounds, vision)
        logged |= self._teach_discriminators(real, fake.detach(), backgrounds, vision, regularizes)
        self._on_host.add(self.seen, len(real) * self.trainer.world_size)
        self._average(len(real) * self.trainer.world_size)
        logged |= {
            "augmentation": self.augmentation.strength,
            "overfitting": self.controller.overfitting,
            "images": self.seen.float(),
        }
        self.log_dict({f"train/{name}": value for name, value in logged.items()}, batch_size=len(real))

    def _teach_generator(
        self, backgrounds: Tensor, vision: VisionAidedDiscriminator | None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Do one step of the generator; return its images and the losses by name."""
        optimizer = self._optimizer_of(0)
        judges = [self.discriminator, *([self.vision.heads] if self.vision else [])]
        for judge in judges:
            judge.requires_grad_(False)
        z = torch.randn(len(backgrounds), self.generator.noise, device=self.device)
        fake = self._synthesize(self.generator.training_latents(z, self.mixing), update=True)
        losses = {"loss/generator": generator_loss(self.discriminator(self._shown(fake)))}
        if vision:
            losses["loss/generator_vision"] = generator_loss(vision(self._shown(over(fake, backgrounds))))
        optimizer.zero_grad()
        self._backward(torch.stack(list(losses.values())).sum())
        self._step(optimizer)
        for judge in judges:
            judge.requires_grad_(True)
        return fake, {name: loss.detach() for name, loss in losses.items()}

    def _teach_discriminators(
        self,
        real: Tensor,
        fake: Tensor,
        backgrounds: Tensor,
        vision: VisionAidedDiscriminator | None,
        regularizes: bool,
    ) -> dict[str, Tensor]:
        """Do one step of the discriminators; return the losses by name."""
        optimizer = self._optimizer_of(1)
        shown = self._shown(real)
        logits = self.discriminator(shown)
        losses = {"loss/discriminator": discriminator_loss(logits, self.discriminator(self._shown(fake)))}
        if vision:
            composites = [vision(self._shown(over(pictures, backgrounds))) for pictures in (real, fake)]
            losses["loss/discriminator_vision"] = discriminator_loss(*composites)
        optimizer.zero_grad()
        self._backward(torch.stack(list(losses.values())).sum())
        if regularizes:
            losses["loss/r1"] = self._r1(shown)
            self._backward(losses["loss/r1"] * self.penalty["interval"])
        self._step(optimizer)
        everywhere = cast(Tensor, self.all_gather(logits.detach()))
        self.controller.update(everywhere.flatten(), self.augmentation)
        return {name: loss.detach() for name, loss in losses.items()} | {"logits_real": logits.detach().mean()}

    def _r1(self, shown: Tensor) -> Tensor:
        """Return R1 at the images as shown to the discriminator; in full precision, since its gradients are small."""
        pictures = shown.detach().float().requires_grad_()
        with torch.autocast(self.device.type, enabled=False):
            return self.penalty["gamma"] / 2 * squared_gradient(self.discriminator(pictures), pictures)

    def _shown(self, pictures: Tensor) -> Tensor:
        """Return images as shown to a discriminator: blurred at the beginning of a run, and augmented."""
        fading = max(1 - self._on_host.of(self.seen) / self.blur["images"], 0) if self.blur["images"] else 0
        return self.augmentation(gaussian_blur(pictures, self.blur["deviation"] * fading))

    def _optimizer_of(self, number: int) -> Any:
        """Return the optimizer of the generator (0), or of all discriminators (1)."""
        optimizers = self.optimizers()
        assert isinstance(optimizers, list)
        return optimizers[number]

    def _backward(self, loss: Tensor) -> None:
        """Backpropagate without DDP's hooks: with two networks in one step, `_step` averages the gradients itself."""
        block = getattr(self.trainer.strategy, "block_backward_sync", nullcontext)
        with block():
            self.manual_backward(loss)

    def _step(self, optimizer: Any) -> None:
        average_gradients(p for group in optimizer.param_groups for p in group["params"])
        optimizer.step()

    @torch.no_grad()
    def _average(self, images: int) -> None:
        """Move the averaged weights toward the current ones."""
        half_life = min(self.averaging["half_life"], self._on_host.of(self.seen) * self.averaging["rampup"])
        decay = 0.5 ** (images / max(half_life, 1e-8))
        for mean, value in zip(self.averaged.parameters(), self.generator.parameters(), strict=True):
            mean.lerp_(value, 1 - decay)
        for kept, present in zip(self.averaged.buffers(), self.generator.buffers(), strict=True):
            kept.copy_(present)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the configuration, and remove paths of this machine."""
        checkpoint["config"] = self.config
        prepare_for_travel(checkpoint, self.config.get("paths", {}))

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Restore the paths that callbacks stored, for this machine."""
        take_home(checkpoint, self)


def over(pictures: Tensor, backgrounds: Tensor) -> Tensor:
    """Composite RGBA (N, 4, H, W) over RGB (N, 3, H, W)."""
    return composite(pictures[:, :3], backgrounds, pictures[:, 3:].clamp(0, 1))


def step_seed(seed: int, seen: int, rank: int) -> int:
    """Return the seed of one process's draws in one step."""
    mixed = torch.Generator().manual_seed((seed * 1_000_003 + seen) * 1_009 + rank)
    return int(torch.randint(2**62, (), generator=mixed))


def average_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Average the gradients over all processes, in one message; do nothing in a single process."""
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return
    gradients = [p.grad for p in parameters if p.grad is not None]
    flat = torch.cat([gradient.flatten() for gradient in gradients])
    torch.distributed.all_reduce(flat)
    flat /= torch.distributed.get_world_size()
    for gradient, mean in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
        gradient.copy_(mean.view_as(gradient))


def gaussian_blur(pictures: Tensor, deviation: float) -> Tensor:
    """Blur (N, C, H, W) with a Gaussian of `deviation` pixels, edges repeated; below a tenth of a pixel not at all."""
    if deviation < 0.1:
        return pictures
    reach = round(3 * deviation)
    offsets = torch.arange(-reach, reach + 1, device=pictures.device, dtype=pictures.dtype)
    weights = torch.exp(-0.5 * (offsets / deviation).square())
    channels = pictures.shape[1]
    row = (weights / weights.sum()).expand(channels, 1, 1, -1)
    pictures = F.conv2d(F.pad(pictures, [reach] * 4, mode="replicate"), row, groups=channels)
    return F.conv2d(pictures, row.transpose(2, 3), groups=channels)
