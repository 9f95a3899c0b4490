"""python -m gan_tutorial, the same as the command gan-tutorial."""

from .cli import main

if __name__ == "__main__":
    raise SystemExit(main())
