# Kept free of imports: console.bootstrap has to load before anything is installed.
__version__ = "0.1.0"
