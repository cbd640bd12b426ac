"""Networks in the layout of the Hugging Face Hub: a folder or repository with weights, settings and a model card."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult, ModelCard, ModelCardData, ModelHubMixin, constants, hf_hub_download
from torch import nn

from p3m_lightning import __version__
from p3m_lightning.inference.export.metadata import Facts, load_with_facts, published_facts
from p3m_lightning.inference.predictor import Predictor
from p3m_lightning.markdown import markdown_table
from p3m_lightning.models import model_card
from p3m_lightning.models.weights import save_weights

WEIGHTS = constants.SAFETENSORS_SINGLE_FILE
LIBRARY = "p3m-lightning"
SHOWN = {"sad": "SAD", "mse": "MSE", "gradient": "Gradient", "connectivity": "Connectivity"}
"""Metrics in the card, in the units of the P3M papers."""


class HubModel(ModelHubMixin, library_name=LIBRARY, pipeline_tag="image-segmentation", tags=["image-matting"]):
    """A network that can be shared: `save_pretrained(FOLDER)`, `push_to_hub(NAME)`, `from_pretrained(EITHER)`.

    `model.safetensors` in such a folder is a checkpoint like any other of this package.

    Args:
        net: a network of `p3m_lightning.models`.
        facts: facts about it, see `facts.Facts`; by default those of the published weights.
    """

    def __init__(self, net: nn.Module, facts: Facts | None = None) -> None:
        self.net = net
        self.facts = facts or published_facts(str(net.name))
        self._hub_mixin_config = self._config()

    @classmethod
    def from_checkpoint(
        cls, path: str | Path, *, license: str | None = None, trained_on: str | None = None
    ) -> HubModel:
        """Load a checkpoint of this package with the results of its run.

        Args:
            path: `.ckpt` or `.safetensors`.
            license: of the weights, by its name on the Hub ("mit", "cc-by-4.0"), if it is not recorded.
            trained_on: the training data, in words, if it is not recorded or should be replaced.

        Raises:
            InputError: not a checkpoint of this package.
        """
        stated = {"license": license, "trained_on": trained_on}
        net, facts = load_with_facts(path)
        return cls(net, facts | {k: v for k, v in stated.items() if v})

    def predictor(self, device: str = "auto", mode: str | None = None, **keys: Any) -> Predictor:
        """Return a predictor, by default with the settings of the evaluation. Arguments as for `Predictor`."""
        return Predictor(self.net, device, mode, recorded=self.facts, **keys)

    def generate_model_card(self, *args: object, **kwargs: object) -> ModelCard:
        """Return the README of the repository from the facts; missing ones are called not stated."""
        name = self.facts["settings"]["name"]
        scores = [
            EvalResult("image-segmentation", "image-matting", data, key, round(means[key], 6), metric_name=SHOWN[key])
            for data, means in self.facts["results"].items()
            for key in SHOWN
            if key in means
        ]
        tags = self._hub_mixin_info.model_card_data.tags
        head = ModelCardData(
            model_name=name,
            license=self.facts["license"],
            library_name=LIBRARY,
            pipeline_tag="image-segmentation",
            tags=tags,
            eval_results=scores or None,
        )
        return ModelCard(f"---\n{head.to_yaml()}\n---\n\n{card_text(self.facts)}")

    def _config(self) -> Facts:
        return {"model": self.facts["settings"], "p3m_lightning": __version__} | {
            key: self.facts[key] for key in ("inference", "license", "trained_on", "pretrained", "results")
        }

    def _save_pretrained(self, save_directory: Path) -> None:
        save_weights(self.net, self._config(), save_directory / WEIGHTS)

    @classmethod
    def _from_pretrained(  # type: ignore[override]  # no further keys: the Hub's class would accept any
        cls,
        *,
        model_id: str,
        revision: str | None,
        cache_dir: str | Path | None,
        force_download: bool,
        local_files_only: bool,
        token: str | bool | None,
    ) -> HubModel:
        path: str | Path = Path(model_id) / WEIGHTS
        if not Path(model_id).is_dir():
            path = hf_hub_download(
                model_id,
                WEIGHTS,
                revision=revision,
                cache_dir=cache_dir,
                force_download=force_download,
                local_files_only=local_files_only,
                token=token,
            )
        return cls.from_checkpoint(path)


def card_text(facts: Facts) -> str:
    """Return the text of a model card, Markdown."""
    name = facts["settings"]["name"]
    inference = {key: value for key, value in facts["inference"].items() if value is not None}
    mode = inference.pop("mode", None) or "resize, or native with a trimap"
    sizes = "".join(f", `{key}={value:g}`" for key, value in inference.items())
    settings = ", ".join(f"`{key}={value}`" for key, value in facts["settings"].items() if key != "name")
    return f"""# {name}

Portrait matting: predicts the opacity of every pixel of a photograph.
Network of: {model_card(name).paper}{f" ({settings})" if settings else ""}.

```python
from p3m_lightning.inference.export.hub import HubModel

predict = HubModel.from_pretrained("FOLDER or USER/NAME").predictor()
predict("photo.jpg").rgba()
```

- **Trained on**: {facts["trained_on"] or "not stated"}
- **Encoder initialized from**: {facts["pretrained"] or "not stated"}
- **License of the weights**: {facts["license"] or "not stated"}
- **Input**: RGB in [0, 1], any size; normalization is inside
- **Evaluated in mode**: {mode}{sizes}

{_results_table(facts["results"])}

Made with p3m_lightning {__version__}.
"""


def _results_table(results: dict[str, dict[str, float]]) -> str:
    if not results:
        return "No evaluation is recorded."
    keys = [key for key in SHOWN if all(key in means for means in results.values())]
    rows = [[data, *(f"{means[key]:.4g}" for key in keys)] for data, means in results.items()]
    table = markdown_table(["test set", *(SHOWN[key] for key in keys)], rows)
    return f"Means over whole images (SAD and connectivity over 1000, gradient over 10):\n\n{table}"
