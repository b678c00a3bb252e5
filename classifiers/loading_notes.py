"""The page that travels in an exported zip: how to load the head on a phone."""

from __future__ import annotations

from classifiers.heads import Head

_NOTES = """\
# {name}

A classifier head of {n_classes:,} classes for the image encoder **{model}**
({embed_dim} numbers per picture, pictures of {width} × {height} pixels).

| file | for |
|---|---|
| `{stem}.pt` | `Module.load` of PyTorch Mobile, LibTorch, Python |
| `{stem}.ptl` | `LiteModuleLoader` of PyTorch Mobile |
| `labels.xml` | `R.array.{stem}` when put into `res/values/` |
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

`assetFilePath` copies an asset to a file and returns its path, since both loaders want one.
Use PyTorch Mobile 1.13.1 or 2.1.0 (`org.pytorch:pytorch_android_lite` for `.ptl`,
`org.pytorch:pytorch_android` for `.pt`) with `pytorch_android_torchvision` of the same version.
"""


def loading_notes(head: Head, stem: str) -> str:
    """Markdown on loading the files called `stem`, in Kotlin and in Java."""
    height, width = head.image_size
    return _NOTES.format(
        name=head.name,
        stem=stem,
        model=head.model,
        n_classes=len(head.classes),
        embed_dim=head.embed_dim,
        height=height,
        width=width,
        k=min(5, len(head.classes)),
    )
