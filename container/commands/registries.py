"""AWS's registries of the built-in algorithms: which account holds which repository (local-mode 2.5)."""

from __future__ import annotations

from dataclasses import dataclass

REGIONS = ("us-east-1", "us-west-2")


@dataclass(frozen=True, slots=True)
class Registry:
    accounts: tuple[str, str]  # in the order of REGIONS
    repositories: dict[str, str]  # slug -> repository
    tags: tuple[str, ...] = ("1",)


def _same(*slugs: str) -> dict[str, str]:
    return {slug: slug for slug in slugs}


REGISTRIES = (
    Registry(
        ("382416733822", "174872318107"),
        _same("kmeans", "pca", "randomcutforest", "linear-learner", "factorization-machines", "knn", "ntm")
        | _same("ipinsights", "object2vec"),
    ),
    Registry(("766337827248", "266724342769"), _same("lda")),
    Registry(
        ("811284229777", "433757028032"),
        _same("blazingtext", "seq2seq", "image-classification", "object-detection", "semantic-segmentation"),
    ),
    Registry(("522234722520", "156387875391"), _same("forecasting-deepar")),
    Registry(
        ("683313688378", "246618743249"),
        {"xgboost": "sagemaker-xgboost"},
        tuple(
            version + suffix
            for version in ("1.0-1", "1.2-1", "1.3-1", "1.5-1", "1.7-1")
            for suffix in ("", "-cpu-py3")
        ),
    ),
)


def uris(slug: str, region: str) -> list[str]:
    """The image URIs by which the SageMaker SDK knows an algorithm in a region."""
    place = REGIONS.index(region)
    return [
        f"{registry.accounts[place]}.dkr.ecr.{region}.amazonaws.com/{registry.repositories[slug]}:{tag}"
        for registry in REGISTRIES
        if slug in registry.repositories
        for tag in registry.tags
    ]
