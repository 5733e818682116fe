"""What one run is: a frozen set of choices, from flags, a TOML file or Python."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from ganbench.errors import UsageError, nearest
from ganbench.grammar import format_component, format_sum, parse_component, parse_sum, split_list

__all__ = ["FAST_PATH", "OFF", "Precision", "RunSpec"]

# Settings that make a step faster and change its bits, so that all are off unless asked for.
FAST_PATH = dict.fromkeys(
    ("share_latents", "joint_batch", "channels_last", "onednn", "compile"), False
)

# Settings that came later, with the value that leaves a run as it was: while they have it they are
# not hashed, so that earlier runs keep their names.
OFF: dict[str, Any] = {
    **FAST_PATH,
    "eval_every": 0,
    "ranks": 1,
    "sync_batch_norm": False,
    "vectorize": False,
}

Precision = Literal["fp32", "tf32", "bf16", "fp16"]


@lru_cache(maxsize=4096)
def _one(text: str) -> str:
    component = parse_component(text)
    return format_component(component.name, component.options)


@lru_cache(maxsize=4096)
def _sum(text: str) -> str:
    return format_sum(parse_sum(text))


ComponentText = Annotated[str, AfterValidator(_one)]
SumText = Annotated[str, AfterValidator(_sum)]
Count = Annotated[int, Field(ge=1, strict=True)]


class RunSpec(BaseModel):
    """One run. `opt` sets `opt_g` and `opt_d` at once. Raises `UsageError` for a bad value."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="constants")

    generator: ComponentText = Field("mlp", description="generator")
    discriminator: ComponentText = Field("mlp", description="discriminator")
    loss: SumText = Field("nonsat", description="loss; add terms with +: nonsat+l1:weight=100")
    opt_g: ComponentText = Field("adam", description="the generator's optimizer")
    opt_d: ComponentText = Field("adam", description="the discriminator's optimizer")
    schedule: ComponentText = Field("constant", description="learning-rate schedule of both")
    rule: ComponentText = Field("alternating", description="update rule")
    data: ComponentText = Field("fashion-mnist-10k", description="data set")
    data_root: Path | None = Field(None, description="folder that holds data sets")
    steps: Count = Field(1500, description="generator updates")
    batch_size: Count | Literal["full"] = Field(128, description="examples an update, or full")
    micro_batch_size: Count | None = Field(
        None, description="accumulate gradients over pieces of this size; for full: 1000"
    )
    n_dis: Count = Field(1, description="discriminator updates a step")
    z_dim: Count = Field(100, description="dimension of the latent z")
    ema_halflife_kimg: Annotated[float, Field(ge=0)] = Field(
        0.0, description="evaluate an averaged G with this half-life; 0: no average, inf: Polyak's"
    )
    seed: Annotated[int, Field(ge=0, strict=True)] = Field(0, description="seed of every stream")
    device: Annotated[str, Field(pattern=r"^(auto|cpu|cuda|cuda:\d+|mps)$")] = Field(
        "auto", description="auto, cpu, cuda, cuda:N or mps"
    )
    threads: Count | None = Field(None, description="CPU threads; all usable cores if not given")
    precision: Precision = Field("fp32", description="fp32, tf32, bf16 or fp16")
    feed: Literal["auto", "resident", "prefetch"] = Field(
        "auto", description="where data lie: resident on the device, or prefetch: brought by batch"
    )
    ranks: Count | None = Field(
        None, description="processes that share every batch; as many as torchrun started"
    )
    sync_batch_norm: bool = Field(
        False, description="several ranks: normalise by the statistics of the whole batch"
    )
    share_latents: bool = Field(
        False, description="G's update takes the fakes of D's last one, run once for both"
    )
    joint_batch: bool = Field(False, description="D scores real and fake examples in one batch")
    channels_last: bool = Field(False, description="images and weights laid out channels last")
    onednn: bool = Field(False, description="on a CPU: float32 matrix products by oneDNN")
    compile: bool = Field(False, description="steps through torch.compile")
    cuda_graph: Literal["auto", "on", "off"] = Field(
        "auto", description="whole steps as CUDA graphs; auto: where that moves no bit"
    )
    tape: Literal["auto", "on", "off"] = Field(
        "auto", description="on a CPU: steps from a tape; auto: where that helps and moves no bit"
    )
    vectorize: bool = Field(
        False, description="train several seeds at once, in one process, on stacked networks"
    )
    metrics: tuple[ComponentText, ...] = Field(
        ("fid", "kid", "precision-recall"), description="metrics, or none"
    )
    extractor: ComponentText = Field("fmnist-cnn-v1", description="features of the metrics")
    extractor_weights: Path | None = Field(None, description="file with the extractor's weights")
    n_samples: Count = Field(10_000, description="generated examples that the metrics see")
    eval_every: Annotated[int, Field(ge=0, strict=True)] = Field(
        0, description="measure the metrics every N steps, too; 0: at the end only"
    )
    checkpoint_every: Annotated[int, Field(ge=0, strict=True)] = Field(
        0, description="save everything a continuation needs every N steps; 0: never"
    )

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise UsageError(_explain(error)) from None

    @model_validator(mode="before")
    @classmethod
    def _spread_opt(cls, values: Any) -> Any:
        if isinstance(values, Mapping) and "opt" in values:
            rest = {key: value for key, value in values.items() if key != "opt"}
            values = {"opt_g": values["opt"], "opt_d": values["opt"]} | rest
        return values

    @field_validator("metrics", mode="before")
    @classmethod
    def _split_metrics(cls, value: Any) -> Any:
        """`fid,kid` or a list; `none` or an empty list for no metrics."""
        if isinstance(value, str):
            value = split_list(value)
        return () if list(value) == ["none"] else tuple(value)

    @classmethod
    def settable(cls) -> list[str]:
        """The keys that a TOML file or --set may use."""
        return [*cls.model_fields, "opt"]


def _explain(error: ValidationError) -> str:
    return "; ".join(dict.fromkeys(_explain_one(detail) for detail in error.errors()))


def _explain_one(detail: Any) -> str:
    key = str(detail["loc"][0]) if detail["loc"] else "spec"
    value = detail["input"]
    if detail["type"] == "extra_forbidden":
        known = RunSpec.settable()
        close = nearest(key, known)
        return f"no setting '{key}'{close or '.'} Known: {', '.join(known)}"
    if key == "device":
        return f"device is {value!r}, but must be auto, cpu, cuda, cuda:N or mps"
    if key == "batch_size":
        return f"batch_size is {value!r}, but must be a whole number from 1 up, or full"
    reason = detail["msg"].replace("Input should be", "must be").replace("Value error, ", "")
    reason = reason.replace("must be a valid integer", "must be a whole number")
    return f"{key} is {value!r}, but {reason}" if "must be" in reason else f"{key}: {reason}"
