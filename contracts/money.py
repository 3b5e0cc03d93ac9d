"""How many decimals a currency has: the scale of every `*_minor`."""

_DIGITS = {
    0: "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF",
    3: "BHD IQD JOD KWD LYD OMR TND",
    4: "CLF UYW",
}
_EXCEPTIONS = {currency: digits for digits, currencies in _DIGITS.items() for currency in currencies.split()}


def minor_digits(currency: str) -> int:
    """The decimals of an ISO 4217 currency (list one of the standard); two where it names no other."""
    return _EXCEPTIONS.get(currency, 2)
