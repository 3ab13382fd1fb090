"""The checks of the data gate, by name, in the order in which their findings are shown. Adding one is a line here."""

from modelyard.core.registry import Table

__all__ = ["CHECKS"]

CHECKS = Table(
    "check",
    {
        "unreadable": "modelyard.data.gate.left_out:Unreadable",
        "missing_target": "modelyard.data.gate.left_out:MissingTarget",
        "unlabelled": "modelyard.data.gate.unlabelled:UnlabelledRows",
        "unlabelled_held_out": "modelyard.data.gate.unlabelled:UnlabelledHeldOut",
        "single_label": "modelyard.data.gate.labels:SingleLabel",
        "label_copy": "modelyard.data.gate.leak:LabelCopy",
        "label_predictor": "modelyard.data.gate.leak:LabelPredictor",
        "group_leakage": "modelyard.data.gate.groups:GroupLeakage",
        "time_leakage": "modelyard.data.gate.times:TimeLeakage",
        "duplicates_across_splits": "modelyard.data.gate.duplicates:DuplicatesAcrossSplits",
        "contradictory_labels": "modelyard.data.gate.duplicates:ContradictoryLabels",
        "duplicate_rows": "modelyard.data.gate.duplicates:DuplicateRows",
        "near_duplicate_texts": "modelyard.data.gate.near_text:NearDuplicateTexts",
        "near_duplicate_images": "modelyard.data.gate.near_image:NearDuplicateImages",
        "single_member_class": "modelyard.data.gate.labels:SingleMemberClass",
        "class_outside_training": "modelyard.data.gate.labels:ClassOutsideTraining",
        "drift": "modelyard.data.gate.drift:DriftBetweenSplits",
        "id_column": "modelyard.data.gate.columns:IdColumn",
        "constant_column": "modelyard.data.gate.columns:ConstantColumn",
        "imbalance": "modelyard.data.gate.labels:Imbalance",
        "unseen_categories": "modelyard.data.gate.columns:UnseenCategories",
        "missing_values": "modelyard.data.gate.written:MissingValues",
        "written_missing": "modelyard.data.gate.written:WrittenMissing",
        "written_numbers": "modelyard.data.gate.written:WrittenNumbers",
        "mixed_types": "modelyard.data.gate.columns:MixedTypes",
        "text_lengths": "modelyard.data.gate.texts:TextLengths",
        "image_conversions": "modelyard.data.gate.pictures:ImageConversions",
        "personal_data": "modelyard.data.gate.personal:PersonalData",
    },
)
