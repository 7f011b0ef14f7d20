"""The lists of stages that the commands run: from sound to text, and to new sound."""
