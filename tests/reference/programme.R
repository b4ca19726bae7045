# Base R and jsonlite. Rscript programme.R OUTFILE
# Overlap weights, standardised differences, weighted and plain ANCOVA, difference in differences, two-stage least squares
# and permuted schools on made-up data; CR2 and Satterthwaite df by their definition, with the N x N matrices.
library(jsonlite)
set.seed(20261122)
n <- 240; school <- sort(sample(1:24, n, TRUE)); district <- (school - 1) %/% 8
x <- round(rnorm(n, 25, 6) + rnorm(24, 0, 2)[school])
sex <- sample(c("L", "P"), n, TRUE); status <- sample(c("PNS", "PPPK", "honorer"), n, TRUE, c(.5, .3, .2))
treat <- rbinom(n, 1, plogis(-.6 - .08 * (x - 25) + .5 * (sex == "P") + .3 * district))
post <- round(.7 * x + 9 + 1.5 * treat + rnorm(24)[school] + rnorm(n, 0, 4))
lot <- rbinom(n, 1, .5); took <- rbinom(n, 1, ifelse(lot == 1, .7, .1)); later <- post + 2 * took
d <- data.frame(school, district, x, sex, status, treat, post, lot, took, later)
z <- (x - mean(x)) / sd(x)

cr2 <- function(X, y, cluster, k) {
  M <- solve(crossprod(X)); R <- diag(nrow(X)) - X %*% M %*% t(X); e <- R %*% y; variance <- 0; P <- NULL
  for (g in unique(cluster)) {
    i <- which(cluster == g); s <- eigen(R[i, i, drop = FALSE], symmetric = TRUE)
    A <- s$vectors %*% diag(ifelse(s$values > 1e-10, 1 / sqrt(abs(s$values)), 0), length(i)) %*% t(s$vectors)
    u <- A %*% X[i, , drop = FALSE] %*% M[, k]
    variance <- variance + sum(u * e[i])^2; P <- cbind(P, R[, i, drop = FALSE] %*% u)
  }
  G <- crossprod(P); list(se = sqrt(variance), df = sum(diag(G))^2 / sum(G^2))
}
told <- function(formula, w = rep(1, n), k = 2) {
  environment(formula) <- environment() # or lm would look `w` up outside
  m <- lm(formula, d, weights = w); X <- model.matrix(m)
  c(list(coef = unname(coef(m)[k])), cr2(sqrt(w) * X, sqrt(w) * model.response(model.frame(m)), school, k))
}

ps <- glm(treat ~ z + sex + status + factor(district), binomial, d, control = list(epsilon = 1e-14, maxit = 100))
e <- fitted(ps); w <- ifelse(treat == 1, 1 - e, e)
smd <- function(v, w, binary) {
  a <- v[treat == 1]; b <- v[treat == 0]
  s <- if (binary) (mean(a) * (1 - mean(a)) + mean(b) * (1 - mean(b))) / 2 else (var(a) + var(b)) / 2
  (weighted.mean(a, w[treat == 1]) - weighted.mean(b, w[treat == 0])) / sqrt(s)
}
one <- rep(1, n)
res <- list(
  version = R.version.string, data = d, weights = unname(w),
  smd = list(points_pre = smd(z, one, FALSE), P = smd(+(sex == "P"), one, TRUE), PNS = smd(+(status == "PNS"), one, TRUE)),
  smd_after = list(points_pre = smd(z, w, FALSE), P = smd(+(sex == "P"), w, TRUE)),
  ess = list(treat = sum(w[treat == 1])^2 / sum(w[treat == 1]^2), other = sum(w[treat == 0])^2 / sum(w[treat == 0]^2)),
  ancova = told(post ~ treat + z + factor(district)), overlap = told(post ~ treat + z + factor(district), w),
  did = told(I(post - x) ~ treat + factor(district)), itt = told(later ~ lot + z)
)
# two-stage least squares, and the ends of Fieller's interval by root search on the CR2 t of post - tau * took
first <- lm(took ~ lot + z, d); second <- lm(later ~ fitted(first) + z, d)
t_of <- function(tau) { m <- lm(I(later - tau * took) ~ lot + z, d); coef(m)[2] / cr2(model.matrix(m), later - tau * took, school, 2)$se }
q <- qt(.975, res$itt$df); end <- function(side, to) uniroot(function(tau) t_of(tau) + side * q, to, tol = 1e-12)$root
tau <- unname(coef(second)[2])
res$cace <- list(coef = tau, taken_up = unname(coef(first)[2]), low = end(-1, c(tau - 20, tau)), high = end(1, c(tau, tau + 20)))
# schools 1, 9 and 17 took part; all choices of 3 of 24
s <- aggregate(cbind(post, z) ~ school, d, mean); own <- +(s$school %in% c(1, 9, 17))
res$schools <- list(coef = unname(coef(lm(post ~ own + z, s))[2]))
left <- function(X, y) sum(.lm.fit(X, y)$residuals^2)
F_of <- function(y, chosen) { X <- cbind(1, s$z); left(X, y) - left(cbind(X, +(seq_len(24) %in% chosen)), y) }
p_of <- function(tau) { y <- s$post - tau * own; all <- combn(24, 3, function(i) F_of(y, i)); mean(all >= F_of(y, c(1, 9, 17)) * (1 - 1e-9)) }
res$schools$p <- p_of(0); res$schools$p_at <- list(tau = c(-3, 1, 4), p = sapply(c(-3, 1, 4), p_of))
write_json(res, commandArgs(TRUE)[1], digits = NA, auto_unbox = TRUE, dataframe = "columns")
