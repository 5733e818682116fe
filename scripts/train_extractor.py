"""Train the embedded feature extractor `fmnist-cnn-v1` on the 60,000 Fashion-MNIST images.

    python scripts/train_extractor.py --out ganbench/builtin/data/fmnist-cnn-v1.safetensors

Six convolutions with batch norm, AdamW on a one-cycle schedule, cross entropy; batch norm is
folded into the convolutions before saving. The same seed, torch version, threads and CPU give the
same weights bit for bit (the file's header may list its entries in another order, so its hash
may differ). Elsewhere rounding may lead to other weights, and so to other distances. That is why
the trained file is shipped.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from ganbench.builtin.datasets import fashion_mnist, fashion_mnist_10k
from ganbench.builtin.fashion_cnn import FashionCNN, normalise
from ganbench.files import write_atomically
from ganbench.streams import seed_of

VERSION = "1"
BATCH_SIZE = 128
MAX_LR = 4e-3
WEIGHT_DECAY = 1e-2


class WithBatchNorm(nn.Module):
    """The network while it trains: `FashionCNN` with a batch norm after each convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.cnn = FashionCNN()
        self.norms = nn.ModuleList(nn.BatchNorm2d(conv.out_channels) for conv in self.cnn.convs)
        for conv, norm in zip(self.cnn.convs, self.norms, strict=True):
            conv.register_forward_hook(lambda _conv, _inputs, out, norm=norm: norm(out))

    def forward(self, x: Tensor) -> Tensor:
        return self.cnn.classify(x)

    def folded(self) -> FashionCNN:
        """The same function in eval mode, as plain convolutions."""
        cnn = FashionCNN()
        for index, (conv, norm) in enumerate(zip(self.cnn.convs, self.norms, strict=True)):
            fused = fuse_conv_bn_eval(conv.eval(), norm.eval())
            cnn.convs[index].load_state_dict(fused.state_dict())
        cnn.head.load_state_dict(self.cnn.head.state_dict())
        return cnn.eval()


def train(images: Tensor, labels: Tensor, *, epochs: int, seed: int) -> FashionCNN:
    """uint8 images (N, 1, 28, 28) and their labels (N,) -> a trained network."""
    torch.manual_seed(seed_of(seed, "init"))
    network = WithBatchNorm()
    order = torch.Generator().manual_seed(seed_of(seed, "order"))
    steps = len(images) // BATCH_SIZE
    optimizer = torch.optim.AdamW(network.parameters(), lr=MAX_LR, weight_decay=WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, MAX_LR, total_steps=epochs * steps, pct_start=0.2
    )
    for epoch in range(1, epochs + 1):
        started, total = time.perf_counter(), torch.zeros(())
        shuffled = torch.randperm(len(images), generator=order)
        for batch in shuffled[: steps * BATCH_SIZE].split(BATCH_SIZE):
            loss = F.cross_entropy(network(normalise(images[batch])), labels[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.detach()
        seconds = time.perf_counter() - started
        print(f"epoch {epoch}: training loss {total.item() / steps:.4f} ({seconds:.0f} s)")
    return network.folded()


@torch.inference_mode()
def accuracy(cnn: FashionCNN, images: Tensor, labels: Tensor) -> float:
    """The share of images whose highest logit is their label."""
    right = 0
    for some, truth in zip(images.split(250), labels.split(250), strict=True):
        right += int((cnn.classify(normalise(some)).argmax(dim=1) == truth).sum())
    return right / len(images)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--out", type=Path, required=True, help="safetensors file to write")
    parser.add_argument("--data-root", type=Path, help="folder of the four idx.gz files")
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()

    torch.set_num_threads(options.threads)
    torch.use_deterministic_algorithms(True)
    training, test = fashion_mnist(options.data_root), fashion_mnist_10k(None)
    cnn = train(training.x, training.labels, epochs=options.epochs, seed=options.seed)
    share = accuracy(cnn, test.x, test.labels)
    metadata = {
        "name": "fmnist-cnn-v1",
        "trained_on": "Fashion-MNIST, the 60,000 training images",
        "test_accuracy": f"{share:.4f}",
        "seed": str(options.seed),
        "epochs": str(options.epochs),
        "script_version": VERSION,
        "torch": str(torch.__version__).partition("+")[0],
    }
    weights = {name: value.contiguous() for name, value in cnn.state_dict().items()}
    write_atomically(options.out, lambda path: save_file(weights, path, metadata))
    print(f"test accuracy {share:.2%}; wrote {options.out} ({options.out.stat().st_size:,} bytes)")


if __name__ == "__main__":
    main()
