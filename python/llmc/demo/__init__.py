"""The embedded demo model, and the way through the whole tool chain that shows what each method of compression does."""
