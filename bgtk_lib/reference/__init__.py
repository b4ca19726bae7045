"""Reference data that the office can edit: codebook, districts, assessments, programmes, framework, control totals."""
