"""What networks run in: PyTorch, compiled or not, ONNX Runtime, OpenVINO; and which of them is taken."""
