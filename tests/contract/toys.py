"""The programs `train` and `serve` with the toys of images and sequences in the registry."""

from __future__ import annotations

from optml.algorithms import registry

TOYS = {"toy-images": "tests.contract.toy_images", "toy-sequences": "tests.contract.toy_sequences"}

if __name__ == "__main__":
    from optml.container.__main__ import main

    registry.MODULES.update(TOYS)
    main()
