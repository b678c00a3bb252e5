"""A small model of each family, with random weights, in a folder as the hub has it."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import open_clip
import torch
from safetensors.torch import save_file

from classifiers.models.catalog import CONFIG_FILE, WEIGHTS_FILE

CLIP_TEXT = {"context_length": 77, "vocab_size": 49408, "width": 64, "heads": 2, "layers": 2}
SMALL_VIT = {"image_size": 32, "layers": 2, "width": 64, "patch_size": 8, "head_width": 32}

# As open_clip's own configurations, with fewer and narrower layers.
FAMILIES: dict[str, dict[str, Any]] = {
    "ViT": {"embed_dim": 32, "vision_cfg": SMALL_VIT, "text_cfg": CLIP_TEXT},
    "ViT with QuickGELU": {
        "embed_dim": 32,
        "quick_gelu": True,
        "vision_cfg": SMALL_VIT,
        "text_cfg": CLIP_TEXT,
    },
    "ResNet": {
        "embed_dim": 64,
        "vision_cfg": {"image_size": 64, "layers": [1, 1, 1, 1], "width": 8, "patch_size": None},
        "text_cfg": CLIP_TEXT,
    },
    "SigLIP": {
        "embed_dim": 64,
        "init_logit_bias": -10,
        "custom_text": True,
        "vision_cfg": {
            "image_size": 64,
            "timm_model_name": "test_vit",
            "timm_model_pretrained": False,
            "timm_pool": "map",
            "timm_proj": "none",
        },
        "text_cfg": {
            "context_length": 16,
            "vocab_size": 300,
            "hf_tokenizer_name": "timm/ViT-B-16-SigLIP2",
            "tokenizer_kwargs": {"clean": "canonicalize"},
            "width": 64,
            "heads": 2,
            "layers": 2,
            "no_causal_mask": True,
            "proj_bias": True,
            "pool_type": "last",
            "norm_kwargs": {"eps": 1e-06},
            "act_kwargs": {"approximate": "tanh"},
        },
    },
    "MobileCLIP": {
        "embed_dim": 32,
        "custom_text": True,
        "vision_cfg": {
            "timm_model_name": "fastvit_mci0",
            "timm_model_pretrained": False,
            "timm_pool": "avg",
            "timm_proj": None,
            "timm_drop": 0.0,
            "timm_drop_path": 0.0,
            "image_size": 64,
        },
        "text_cfg": {**CLIP_TEXT, "no_causal_mask": True},
    },
    "XLM-RoBERTa": {
        "embed_dim": 32,
        "vision_cfg": SMALL_VIT,
        "text_cfg": {
            "hf_model_name": "xlm-roberta-base",
            "hf_tokenizer_name": "xlm-roberta-base",
            "hf_pooler_type": "mean_pooler",
        },
    },
}
PREPROCESSING: dict[str, dict[str, Any]] = {
    "SigLIP": {"mean": [0.5] * 3, "std": [0.5] * 3, "resize_mode": "squash"},
    "MobileCLIP": {"mean": [0.0] * 3, "std": [1.0] * 3, "interpolation": "bilinear"},
}


def make_model(folder: Path, config: dict[str, Any], preprocessing: dict[str, Any]) -> Any:
    """Writes a folder as the hub has it; returns open_clip's model of the same weights."""
    settings = {"model_cfg": config, "preprocess_cfg": preprocessing}
    (folder / CONFIG_FILE).write_text(json.dumps(settings))
    cfg = copy.deepcopy(config)
    is_custom = cfg.pop("custom_text", False)
    if "hf_tokenizer_name" in cfg["text_cfg"]:
        make_tokenizer(folder)
    if "hf_model_name" in cfg["text_cfg"]:
        make_tower_settings(folder)
        cfg["text_cfg"].update(hf_model_name=str(folder), hf_model_pretrained=False)
        is_custom = True
    torch.manual_seed(0)
    model = (open_clip.CustomTextCLIP if is_custom else open_clip.CLIP)(**cfg).eval()
    if model.logit_bias is not None:
        model.logit_scale.data.fill_(2.0)  # else every probability is 0.0000
        model.logit_bias.data.fill_(-1.5)
    save_file(model.state_dict(), str(folder / WEIGHTS_FILE))
    return model


def make_tokenizer(folder: Path) -> None:
    """A tokenizer of transformers that knows single characters."""
    from tokenizers import Regex, Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    known = ["<pad>", "<s>", "</s>", "<unk>", *map(chr, range(32, 127)), *"кошкаупи猫狗"]
    vocabulary = {token: i for i, token in enumerate(dict.fromkeys(known))}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex("."), "isolated")
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 1), ("</s>", 2)]
    )
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", bos_token="<s>", eos_token="</s>",
        unk_token="<unk>", cls_token="<s>", sep_token="</s>",
    ).save_pretrained(folder)  # fmt: skip


def make_tower_settings(folder: Path) -> None:
    from transformers import XLMRobertaConfig

    XLMRobertaConfig(
        vocab_size=300, hidden_size=32, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=64, max_position_embeddings=90, pad_token_id=0,
    ).save_pretrained(folder)  # fmt: skip
