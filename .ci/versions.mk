# The linters, and the tests of what a version can change, two jobs side by side: they wait more than they calculate.
# Not everything runs a third time on versions with which most of it has run, and not every adapter's contract on every
# Python. Properties are tried with few examples: `make test` has tried them with many.
#   OTHER=path    an interpreter for the pinned versions, if there is one
#   NEWEST=path   one for the newest versions, which CrewAI does not allow; else the usual one

LOWEST := lowest-langchain lowest-llamaindex lowest-crewai

.PHONY: all newest other check $(LOWEST)
all: newest check $(if $(OTHER),other) $(LOWEST)

export HYPOTHESIS_PROFILE := brief

# The newest pydantic, openai and mcp, and what they are used for.
newest:
	+$(MAKE) test SET=newest $(if $(NEWEST),PYTHON=$(NEWEST)) ARGS="-n 3 \
	    $(addprefix tests/core/,call exports server/rest store tools voice $(notdir $(wildcard tests/core/test_*.py))) \
	    $(patsubst %,tests/contract/test_%.py,langchain mcp pydantic_ai) tests/wire/test_openai.py"

other:
	+$(MAKE) test PYTHON=$(OTHER) ARGS="-n 3 $(addprefix tests/core/,call carriers local voice test_engine.py test_tool.py) \
	    tests/contract/test_bare.py"

check:
	+$(MAKE) check

# Their READMEs are written for what is installed today.
$(LOWEST): lowest-%:
	+$(MAKE) test SET=$@ ARGS="-n 2 tests/$* --ignore tests/$*/test_readme.py tests/contract/test_$*.py"
