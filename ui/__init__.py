"""The web page.  Knows classifiers/ and Gradio; nothing below knows of it."""
