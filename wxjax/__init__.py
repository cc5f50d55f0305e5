"""wxjax: takes weather out of pictures, in JAX."""

__version__ = "0.1.0"
