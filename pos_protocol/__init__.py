"""The UnionPay POS 8583 dialect: bytes in, messages out."""
