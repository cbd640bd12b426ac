"""`python -m p3m_lightning` is the same as `p3m`."""

from p3m_lightning.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
