"""Training jobs as their owners see them: asked for, steered, followed."""
