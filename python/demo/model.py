"""The demo model: a small Llama (RMSNorm, RoPE on halves, GQA, SwiGLU, tied head) in plain torch.

Module names follow Hugging Face's Llama, so that exported weights carry the usual names. The
forward pass takes and returns the key/value cache in the layout of optimum's ONNX exports:
[batch, kv_heads, length, head_size] per layer.
"""

import dataclasses

import torch
import torch.nn.functional as F
from torch import nn


@dataclasses.dataclass
class Config:
    vocab_size: int = 2048
    hidden_size: int = 256
    intermediate_size: int = 640
    num_hidden_layers: int = 4
    num_attention_heads: int = 8
    num_key_value_heads: int = 4
    head_dim: int = 32
    max_position_embeddings: int = 512
    rope_theta: float = 10000.0
    rms_norm_eps: float = 1e-5


class RMSNorm(nn.Module):
    def __init__(self, size, eps):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))
        self.eps = eps

    def forward(self, x):
        return self.weight * (x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.eps))


def rotate_half(x):
    half = x.shape[-1] // 2
    return torch.cat((-x[..., half:], x[..., :half]), dim=-1)


class Attention(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.heads, self.kv_heads = config.num_attention_heads, config.num_key_value_heads
        self.head_dim = config.head_dim
        hidden = config.hidden_size
        self.q_proj = nn.Linear(hidden, self.heads * self.head_dim, bias=False)
        self.k_proj = nn.Linear(hidden, self.kv_heads * self.head_dim, bias=False)
        self.v_proj = nn.Linear(hidden, self.kv_heads * self.head_dim, bias=False)
        self.o_proj = nn.Linear(self.heads * self.head_dim, hidden, bias=False)

    def forward(self, x, cos, sin, mask, past):
        batch, length, _ = x.shape
        q = self.q_proj(x).view(batch, length, self.heads, self.head_dim).transpose(1, 2)
        k = self.k_proj(x).view(batch, length, self.kv_heads, self.head_dim).transpose(1, 2)
        v = self.v_proj(x).view(batch, length, self.kv_heads, self.head_dim).transpose(1, 2)
        q = q * cos + rotate_half(q) * sin
        k = k * cos + rotate_half(k) * sin
        if past is not None:
            k = torch.cat((past[0], k), dim=2)
            v = torch.cat((past[1], v), dim=2)
        present = (k, v)
        repeat = self.heads // self.kv_heads
        if past is None:
            y = F.scaled_dot_product_attention(
                q, k.repeat_interleave(repeat, 1), v.repeat_interleave(repeat, 1), is_causal=True
            )
        else:
            total = k.shape[2]
            shape = (batch, self.kv_heads, repeat, total, self.head_dim)
            k = k[:, :, None].expand(shape).reshape(batch, self.heads, total, self.head_dim)
            v = v[:, :, None].expand(shape).reshape(batch, self.heads, total, self.head_dim)
            scores = torch.matmul(q, k.transpose(2, 3)) * self.head_dim**-0.5 + mask
            y = torch.matmul(torch.softmax(scores, dim=-1), v)
        y = y.transpose(1, 2).reshape(batch, length, self.heads * self.head_dim)
        return self.o_proj(y), present


class MLP(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.gate_proj = nn.Linear(config.hidden_size, config.intermediate_size, bias=False)
        self.up_proj = nn.Linear(config.hidden_size, config.intermediate_size, bias=False)
        self.down_proj = nn.Linear(config.intermediate_size, config.hidden_size, bias=False)

    def forward(self, x):
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


class Layer(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.self_attn = Attention(config)
        self.mlp = MLP(config)
        self.input_layernorm = RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.post_attention_layernorm = RMSNorm(config.hidden_size, config.rms_norm_eps)

    def forward(self, x, cos, sin, mask, past):
        y, present = self.self_attn(self.input_layernorm(x), cos, sin, mask, past)
        x = x + y
        return x + self.mlp(self.post_attention_layernorm(x)), present


class RotaryEmbedding(nn.Module):
    def __init__(self, config):
        super().__init__()
        steps = torch.arange(0, config.head_dim, 2, dtype=torch.float32) / config.head_dim
        self.register_buffer("inv_freq", config.rope_theta**-steps, persistent=False)

    def forward(self, positions):
        angle = positions[:, :, None].float() * self.inv_freq
        angle = torch.cat((angle, angle), dim=-1)[:, None]
        return angle.cos(), angle.sin()


class Decoder(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size)
        self.layers = nn.ModuleList(Layer(config) for _ in range(config.num_hidden_layers))
        self.norm = RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.rotary_emb = RotaryEmbedding(config)

    def forward(self, ids, positions, mask, past):
        x = self.embed_tokens(ids)
        cos, sin = self.rotary_emb(positions)
        presents = []
        for index, layer in enumerate(self.layers):
            x, present = layer(x, cos, sin, mask, past[index] if past is not None else None)
            presents.append(present)
        return self.norm(x), presents


class LlamaForCausalLM(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.config = config
        self.model = Decoder(config)
        self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        self.lm_head.weight = self.model.embed_tokens.weight

    def forward(self, ids):
        """Training: logits of whole sequences, no cache."""
        positions = torch.arange(ids.shape[1])[None]
        x, _ = self.model(ids, positions, None, None)
        return self.lm_head(x)

    def step(self, ids, attention_mask, positions, past):
        """With cache: mask is [batch, past + length], 1 where a position may be seen."""
        length, total = ids.shape[1], attention_mask.shape[1]
        rows = torch.arange(total - length, total)[:, None]
        seen = (torch.arange(total)[None] <= rows)[None, None]
        seen = seen & (attention_mask[:, None, None, :] != 0)
        lowest = torch.finfo(torch.float32).min
        mask = torch.where(seen, torch.tensor(0.0), torch.tensor(lowest))
        x, presents = self.model(ids, positions, mask, past)
        return self.lm_head(x), presents
