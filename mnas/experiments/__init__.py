"""Several searches: strategies compared, spaces surveyed, studies reproduced."""
