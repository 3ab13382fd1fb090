"""Pictures: decoding them safely, bringing them to one size, varying and blending them."""
