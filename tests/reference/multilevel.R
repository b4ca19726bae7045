# Debian 12: r-cran-lme4 1.1-31. Random-intercept models of made-up changes: districts fixed, schools random.
# Rscript multilevel.R writes multilevel.csv (the data) and multilevel.json (the fits) beside itself.
# `slight` hardly varies between schools, `none` less than chance: there REML has its maximum at a school variance of 0.
suppressMessages({library(lme4); library(jsonlite)})
here <- dirname(sub("--file=", "", grep("--file=", commandArgs(FALSE), value = TRUE)))
set.seed(20261121)
district <- sort(sample(0:7, 60, replace = TRUE))
size <- sample(1:9, 60, replace = TRUE)
school <- rep(seq_len(60), size)
d <- data.frame(district = district[school], school = school)
n <- nrow(d)
level <- c(2, 4, 1, 6, 3, 5, 2, 8)
d$ordinary <- round(level[d$district + 1] + rnorm(60, 0, 3)[school] + rnorm(n, 0, 8), 3)
d$slight <- round(level[d$district + 1] + rnorm(60, 0, 3.2)[school] + rnorm(n, 0, 8), 3)
noise <- rnorm(n, 0, 8)
d$none <- round(level[d$district + 1] + noise - 0.6 * ave(noise, school), 3)
fit <- function(name, reml) {
  m <- suppressMessages(lmer(reformulate(c("0", "factor(district)", "(1 | school)"), name), d, REML = reml,
                             control = lmerControl(optCtrl = list(xtol_abs = 1e-10, ftol_abs = 1e-12))))
  v <- as.data.frame(VarCorr(m))$vcov
  list(loglik = as.numeric(logLik(m)), coef = unname(fixef(m)), se = unname(sqrt(diag(as.matrix(vcov(m))))),
       var_school = v[1], var_person = v[2])
}
names <- c("ordinary", "slight", "none")
found <- lapply(c(REML = TRUE, ML = FALSE), function(reml) sapply(names, fit, reml = reml, simplify = FALSE))
found$versions <- list(R = R.version.string, lme4 = as.character(packageVersion("lme4")))
write.csv(d, file.path(here, "multilevel.csv"), row.names = FALSE)
write_json(found, file.path(here, "multilevel.json"), digits = NA, auto_unbox = TRUE, pretty = TRUE)
