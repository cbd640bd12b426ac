"""Export of networks: ONNX files, and folders for the Hugging Face Hub."""
