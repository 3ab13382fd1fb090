"""The data sets by name. Adding one: a new file in `entries/` and a line here. Nothing is imported until asked for."""

from modelyard.core.registry import Table

__all__ = ["DATASETS"]

DATASETS = Table(
    "dataset",
    {
        "adult": "modelyard.data.catalog.entries.adult:ENTRY",
        "ag_news": "modelyard.data.catalog.entries.ag_news:ENTRY",
        "air_passengers": "modelyard.data.catalog.entries.air_passengers:ENTRY",
        "breast_cancer": "modelyard.data.catalog.entries.breast_cancer:ENTRY",
        "brown_corpus": "modelyard.data.catalog.entries.brown_corpus:ENTRY",
        "chinese_news": "modelyard.data.catalog.entries.chinese_news:ENTRY",
        "chinese_poetry": "modelyard.data.catalog.entries.chinese_poetry:ENTRY",
        "chinese_reviews": "modelyard.data.catalog.entries.chinese_reviews:ENTRY",
        "churn": "modelyard.data.catalog.entries.churn:ENTRY",
        "cifar10": "modelyard.data.catalog.entries.cifar10:ENTRY",
        "cifar100": "modelyard.data.catalog.entries.cifar100:ENTRY",
        "compas": "modelyard.data.catalog.entries.compas:ENTRY",
        "credit": "modelyard.data.catalog.entries.credit:ENTRY",
        "diabetes": "modelyard.data.catalog.entries.diabetes:ENTRY",
        "digits": "modelyard.data.catalog.entries.digits:ENTRY",
        "electricity_taylor": "modelyard.data.catalog.entries.electricity_taylor:ENTRY",
        "fashion_mnist": "modelyard.data.catalog.entries.fashion_mnist:ENTRY",
        "fine_food_reviews": "modelyard.data.catalog.entries.fine_food_reviews:ENTRY",
        "german_credit": "modelyard.data.catalog.entries.german_credit:ENTRY",
        "gunpoint": "modelyard.data.catalog.entries.gunpoint:ENTRY",
        "imdb": "modelyard.data.catalog.entries.imdb:ENTRY",
        "iris": "modelyard.data.catalog.entries.iris:ENTRY",
        "italy_power_demand": "modelyard.data.catalog.entries.italy_power_demand:ENTRY",
        "loans": "modelyard.data.catalog.entries.loans:ENTRY",
        "mnist": "modelyard.data.catalog.entries.mnist:ENTRY",
        "movielens_100k": "modelyard.data.catalog.entries.movielens_100k:ENTRY",
        "newsgroups_20": "modelyard.data.catalog.entries.newsgroups_20:ENTRY",
        "reuters_r52": "modelyard.data.catalog.entries.reuters_r52:ENTRY",
        "reuters_r8": "modelyard.data.catalog.entries.reuters_r8:ENTRY",
        "sentiment_sentences": "modelyard.data.catalog.entries.sentiment_sentences:ENTRY",
        "shoes": "modelyard.data.catalog.entries.shoes:ENTRY",
        "spam_assassin": "modelyard.data.catalog.entries.spam_assassin:ENTRY",
        "speech_commands": "modelyard.data.catalog.entries.speech_commands:ENTRY",
        "state_of_the_union": "modelyard.data.catalog.entries.state_of_the_union:ENTRY",
        "wikitext103": "modelyard.data.catalog.entries.wikitext103:ENTRY",
        "wikitext2": "modelyard.data.catalog.entries.wikitext2:ENTRY",
        "wine": "modelyard.data.catalog.entries.wine:ENTRY",
    },
)
