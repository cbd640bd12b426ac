"""Networks as files for others: ONNX, and folders of the Hugging Face Hub."""
