"""The page that travels in an exported zip: how to load the head on a phone."""

from __future__ import annotations

from collections.abc import Sequence

from classifiers.heads.head import Head

_NOTES = """\
# {name}

A classifier head of {n_classes:,} classes for the image encoder **{model}**
({embed_dim} numbers per picture, pictures of {width} × {height} pixels).

| file | for |
|---|---|
| `{stem}.pt` | `Module.load` of PyTorch Mobile, LibTorch, Python |
| `{stem}.ptl` | `LiteModuleLoader` of PyTorch Mobile |
{optional_rows}| `labels.xml` | `R.array.{stem}` when put into `res/values/` |
| `labels.txt` | the classes, one a line, in index order (also inside the .pt and .ptl) |
| `manifest.json` | model, templates, scale, activation, sizes, SHA-256 of each file |
| `{stem}.safetensors` | the weights themselves, for any language |

The head takes the encoder's embedding, float32 `(n, {embed_dim})`, normalised or not, and
returns `(probabilities (n, {k}), class indices (n, {k}))`, best first.  Encoder and head must
come from the same model: compare `model` and `fingerprint` in their manifests.

## Kotlin

```kotlin
import org.pytorch.IValue
import org.pytorch.LiteModuleLoader  // or org.pytorch.Module and Module.load for .pt
import org.pytorch.torchvision.TensorImageUtils

val encoder = LiteModuleLoader.load(assetFilePath("encoder.ptl"))
val head = LiteModuleLoader.load(assetFilePath("{stem}.ptl"))
val labels = resources.getStringArray(R.array.{stem})

// The encoder normalises the channels itself, so mean 0 and deviation 1 here.
val pixels = TensorImageUtils.bitmapToFloat32Tensor(
    bitmap, floatArrayOf(0f, 0f, 0f), floatArrayOf(1f, 1f, 1f)) // {width} × {height}, centre crop
val embedding = encoder.forward(IValue.from(pixels))
val answer = head.forward(embedding).toTuple()
val probabilities = answer[0].toTensor().dataAsFloatArray
val indices = answer[1].toTensor().dataAsLongArray
for (i in indices.indices) println("${{labels[indices[i].toInt()]}}: ${{probabilities[i]}}")
```

## Java

```java
import org.pytorch.IValue;
import org.pytorch.LiteModuleLoader;
import org.pytorch.Module;
import org.pytorch.torchvision.TensorImageUtils;

Module encoder = LiteModuleLoader.load(assetFilePath("encoder.ptl"));
Module head = LiteModuleLoader.load(assetFilePath("{stem}.ptl"));
String[] labels = getResources().getStringArray(R.array.{stem});

float[] zeros = {{0f, 0f, 0f}};
float[] ones = {{1f, 1f, 1f}};
IValue pixels = IValue.from(TensorImageUtils.bitmapToFloat32Tensor(bitmap, zeros, ones));
IValue[] answer = head.forward(encoder.forward(pixels)).toTuple();
float[] probabilities = answer[0].toTensor().getDataAsFloatArray();
long[] indices = answer[1].toTensor().getDataAsLongArray();
for (int i = 0; i < indices.length; i++) {{
    System.out.println(labels[(int) indices[i]] + ": " + probabilities[i]);
}}
```

## C++

```cpp
#include <torch/script.h>  // LibTorch 1.13 or later

torch::jit::Module encoder = torch::jit::load("encoder.pt");
torch::jit::Module head = torch::jit::load("{stem}.pt");
torch::NoGradGuard no_grad;
// pixels: float32 (n, 3, {height}, {width}) in [0, 1], RGB, centre crop
auto answer = head.forward({{encoder.forward({{pixels}})}}).toTuple()->elements();
torch::Tensor probabilities = answer[0].toTensor(), indices = answer[1].toTensor();
```

## Python

```python
import torch

inside = {{"labels.txt": ""}}
encoder = torch.jit.load("encoder.pt")
head = torch.jit.load("{stem}.pt", _extra_files=inside)
labels = inside["labels.txt"].decode().splitlines()
with torch.no_grad():  # pixels as for C++
    probabilities, indices = head(encoder(pixels))
for probability, index in zip(probabilities[0], indices[0]):
    print(f"{{labels[index]}}: {{probability:.4f}}")
```
{optional_pages}
`assetFilePath` copies an asset to a file and returns its path, since both loaders want one.
Use PyTorch Mobile 1.13.1 or 2.1.0 (`org.pytorch:pytorch_android_lite` for `.ptl`,
`org.pytorch:pytorch_android` for `.pt`) with `pytorch_android_torchvision` of the same version.
"""


_OPTIONAL_ROWS = {
    "onnx": "| `{stem}.onnx` | ONNX Runtime, browsers; classes and manifest in its metadata |\n",
    "pte": "| `{stem}.pte` | ExecuTorch with XNNPACK, up to 64 embeddings at once |\n",
}
_OPTIONAL_PAGES = {
    "onnx": """
## ONNX Runtime, in Python

```python
import onnxruntime

head = onnxruntime.InferenceSession("{stem}.onnx")
labels = head.get_modelmeta().custom_metadata_map["labels.txt"].splitlines()
probabilities, indices = head.run(None, {{"image_embedding": embedding}})
```
""",
    "pte": """
## ExecuTorch, in Kotlin

```kotlin
import org.pytorch.executorch.EValue
import org.pytorch.executorch.Module

val head = Module.load(assetFilePath("{stem}.pte"))
val answer = head.forward(embedding[0]) // of encoder.forward(EValue.from(pixels))
val probabilities = answer[0].toTensor().dataAsFloatArray
val indices = answer[1].toTensor().dataAsLongArray
```
""",
}


def export_readme(head: Head, stem: str, formats: Sequence[str] = ()) -> str:
    """Markdown on loading the files called `stem`, of which `formats` are there."""
    height, width = head.image_size
    notes = _NOTES.replace(
        "{optional_rows}", "".join(_OPTIONAL_ROWS.get(suffix, "") for suffix in formats)
    ).replace("{optional_pages}", "".join(_OPTIONAL_PAGES.get(suffix, "") for suffix in formats))
    return notes.format(
        name=head.name,
        stem=stem,
        model=head.model,
        n_classes=len(head.classes),
        embed_dim=head.embed_dim,
        height=height,
        width=width,
        k=min(5, len(head.classes)),
    )
