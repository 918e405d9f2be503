"""From a picture to a better one: tiles, one step, blending, files and folders."""
