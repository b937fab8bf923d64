"""Trains the demo model on the token streams of tokenizer.py, on a CPU, in a fixed time.

  python train.py --work=WORK --minutes=75     # WORK/checkpoint.pt, every few minutes and last

One thread per worker process goes on well on a machine that others use too: workers meet twice in a
step, threads would at every operation. Matrices learn by Muon (Jordan et al., 2024: momentum
orthogonalised by Newton-Schulz), embedding and norms by AdamW. The rate rises, stays, then falls to
zero over the last part of the time.
"""

import argparse
import dataclasses
import itertools
import os
import pathlib
import tempfile
import time

import numpy as np
import torch
import torch.distributed
import torch.multiprocessing
import torch.nn.functional as F

from model import Config, LlamaForCausalLM

WARM_UP_STEPS = 60
DECAY_FROM = 0.45  # fraction of the time after which the rate falls linearly to zero

LONG_FROM = 0.75  # fraction of the time after which rows are twice as long and half as many


def orthogonalise(matrix, steps=5):
    """Newton-Schulz iteration towards the nearest orthogonal matrix (Muon's quintic)."""
    a, b, c = 3.4445, -4.7750, 2.0315
    x = matrix / (matrix.norm() + 1e-7)
    transposed = x.shape[0] > x.shape[1]
    if transposed:
        x = x.T
    for _ in range(steps):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.T if transposed else x


class Muon:
    """Momentum SGD whose steps are orthogonalised; rates are of the spectral norm.

    Every worker orthogonalises its own share of the matrices; the sum over workers is the update.
    """

    def __init__(self, parameters, rate, rank, workers, momentum=0.95, decay=0.05):
        self.parameters, self.rate = list(parameters), rate
        self.rank, self.workers = rank, workers
        self.momentum, self.decay = momentum, decay
        self.buffers = [torch.zeros_like(p) for p in self.parameters]

    @torch.no_grad()
    def step(self, scale):
        updates = [torch.zeros_like(p) for p in self.parameters]
        for index, (parameter, buffer) in enumerate(zip(self.parameters, self.buffers)):
            buffer.lerp_(parameter.grad, 1 - self.momentum)
            if index % self.workers == self.rank:
                updates[index] = orthogonalise(parameter.grad.lerp(buffer, self.momentum))
        sum_over_workers(updates, self.workers)
        rate = self.rate * scale
        for parameter, update in zip(self.parameters, updates):
            rows, columns = parameter.shape
            parameter.mul_(1 - rate * self.decay)
            parameter.add_(update, alpha=-rate * max(1.0, rows / columns) ** 0.5)


def sum_over_workers(tensors, workers):
    """Replaces every tensor by its sum over all workers, in one exchange."""
    if workers == 1:
        return
    flat = torch.cat([tensor.flatten() for tensor in tensors])
    torch.distributed.all_reduce(flat)
    for tensor, part in zip(tensors, flat.split([tensor.numel() for tensor in tensors])):
        tensor.copy_(part.view_as(tensor))


def rate_at(step, fraction):
    warm = min(1.0, (step + 1) / WARM_UP_STEPS)
    return warm * min(1.0, max(0.0, (1.0 - fraction) / (1.0 - DECAY_FROM)))


def batches(stream, rows, length, seed):
    """Endless batches: every epoch cuts the stream at a new offset and shuffles the pieces."""
    generator = np.random.default_rng(seed)
    pending = []
    while True:
        offset = int(generator.integers(length))
        starts = np.arange(offset, len(stream) - length - 1, length)
        pending.extend(generator.permutation(starts))
        while len(pending) >= rows:
            chosen, pending = pending[:rows], pending[rows:]
            yield torch.from_numpy(
                np.stack([stream[s : s + length + 1] for s in chosen]).astype(np.int64)
            )


@torch.no_grad()
def held_out_loss(model, rows):
    """Mean negative log likelihood in nats, first id of each row not scored."""
    total = 0.0
    for part in torch.from_numpy(rows.astype(np.int64)).split(16):
        logits, target = model(part[:, :-1]).flatten(0, 1), part[:, 1:].flatten()
        total += F.cross_entropy(logits, target, reduction="sum").item()
    return total / (rows.shape[0] * (rows.shape[1] - 1))


def cut_rows(stream, count, length):
    """`count` rows of `length` ids, evenly spread over the stream."""
    starts = np.linspace(0, len(stream) - length, count).astype(np.int64)
    return np.stack([stream[s : s + length] for s in starts])


def save(path, model, muon, adam, step, seconds):
    state = {
        "config": dataclasses.asdict(model.config), "model": model.state_dict(),
        "muon": muon.buffers, "adam": adam.state_dict(), "step": step, "seconds": seconds,
    }
    torch.save(state, path.with_suffix(".new"))
    os.replace(path.with_suffix(".new"), path)


def initialise(model):
    """Matrices by fan-in; projections into the residual stream begin at zero."""
    for name, parameter in model.named_parameters():
        if parameter.dim() != 2:
            continue
        std = 0.02 if "embed" in name else parameter.shape[1] ** -0.5
        torch.nn.init.normal_(parameter, std=std)
        if "o_proj" in name or "down_proj" in name:
            torch.nn.init.zeros_(parameter)


def work(rank, options):
    """One worker: a thread of its own, a share of the rows of every batch, the same weights."""
    workers = options.workers
    torch.set_num_threads(1)
    torch.manual_seed(options.seed)
    if workers > 1:
        torch.distributed.init_process_group(
            "gloo", init_method=f"file://{options.meeting}", rank=rank, world_size=workers
        )
    model = LlamaForCausalLM(Config())
    initialise(model)
    matrices = [p for n, p in model.named_parameters() if p.dim() == 2 and "embed" not in n]
    others = [p for n, p in model.named_parameters() if p.dim() != 2 or "embed" in n]
    muon = Muon(matrices, options.muon_rate, rank, workers)
    adam = torch.optim.AdamW(others, lr=options.adam_rate, betas=(0.9, 0.95), weight_decay=0.0)

    stream = np.load(options.work / "train.npy")
    scored = cut_rows(np.load(options.work / "heldout_stream.npy"), 32, 256)
    checkpoint = options.work / "checkpoint.pt"
    first, before = 0, 0.0
    if options.resume:
        state = torch.load(checkpoint, weights_only=True)
        model.load_state_dict(state["model"])
        if "muon" in state:
            muon.buffers = state["muon"]
            adam.load_state_dict(state["adam"])
        first, before = state["step"] + 1, state["seconds"]
    seed = options.seed + first
    short = batches(stream, options.rows, options.length, seed)
    long = batches(stream, options.rows // 2, 2 * options.length, seed)
    begin = saved = time.monotonic()
    average, tokens, fraction = None, 0, 0.0
    for step in itertools.count(first):
        clock = torch.tensor([before + time.monotonic() - begin if rank == 0 else 0.0])
        sum_over_workers([clock], workers)
        fraction = clock.item() / (60 * options.minutes)
        if fraction >= 1:
            break
        batch = next(short if fraction < LONG_FROM else long)
        tokens += batch.shape[0] * (batch.shape[1] - 1)
        batch = batch[rank::workers]
        scale = rate_at(step, fraction)
        logits = model(batch[:, :-1])
        loss = F.cross_entropy(logits.flatten(0, 1), batch[:, 1:].flatten())
        (loss / workers).backward()
        sum_over_workers([p.grad for p in model.parameters()], workers)
        muon.step(scale)
        for group in adam.param_groups:
            group["lr"] = options.adam_rate * scale
        adam.step()
        model.zero_grad(set_to_none=False)
        if rank != 0:
            continue
        average = loss.item() if average is None else 0.98 * average + 0.02 * loss.item()
        if step % 20 == 0:
            speed = tokens / (time.monotonic() - begin)
            print(f"step {step} {clock.item():.0f}s loss {average:.3f} rate {scale:.3f} "
                  f"{speed:.0f} tokens/s", flush=True)
        if time.monotonic() - saved > 60 * options.save_every:
            save(checkpoint, model, muon, adam, step, clock.item())
            saved = time.monotonic()
            print(f"held-out loss {held_out_loss(model, scored):.4f}", flush=True)
    if rank == 0:
        save(checkpoint, model, muon, adam, step, clock.item())
        print(f"done: step {step} held-out loss {held_out_loss(model, scored):.4f}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", required=True, type=pathlib.Path)
    parser.add_argument("--minutes", type=float, default=75)
    parser.add_argument("--resume", action="store_true", help="go on from WORK/checkpoint.pt")
    parser.add_argument("--save-every", type=float, default=4, help="minutes between checkpoints")
    parser.add_argument("--workers", type=int, default=2, help="processes of one thread each")
    parser.add_argument("--rows", type=int, default=12, help="rows of a batch, over all workers")
    parser.add_argument("--length", type=int, default=256, help="ids in a row; later twice that")
    parser.add_argument("--muon-rate", type=float, default=0.01)
    parser.add_argument("--adam-rate", type=float, default=0.0018)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    if options.rows % (2 * options.workers):
        parser.error(f"--rows={options.rows} must be a multiple of {2 * options.workers}")
    if options.workers == 1:
        work(0, options)
        return
    with tempfile.TemporaryDirectory() as folder:
        options.meeting = pathlib.Path(folder) / "meeting"
        torch.multiprocessing.spawn(work, (options,), options.workers)


if __name__ == "__main__":
    main()
