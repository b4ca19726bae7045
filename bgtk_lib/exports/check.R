# Recomputes the numbers of this pack: Rscript check.R [folder]
#
# Base R always; psych, mirt, TAM and difR where they are installed. Every number is compared with a stated tolerance.
# Written to check.csv; exit code 1 where any number differs. Its makers have not run the parts of mirt, TAM and difR
# with the packages installed.

EXACT <- 1e-6      # the same formula in double precision
LOGLIK <- 1e-3     # of a log-likelihood: two quadratures of one integral
TOP <- 0.01        # of a standard error: how far Newton's next step would go
MIRT <- 0.02       # of a standard error: EM stops a little below the maximum
MIRT_SE <- 0.01    # of the error itself: Oakes and Louis are two ways to the observed information
TAM <- 0.05        # of a standard error: EM with fixed nodes

given <- commandArgs(TRUE)
folder <- if (length(given)) given[1] else "."

read <- function(name) {  # codes stay text: "01" is no number and "T" no truth value
  path <- file.path(folder, name)
  if (!file.exists(path)) return(NULL)
  table <- read.csv(path, check.names = FALSE, na.strings = "", colClasses = "character", encoding = "UTF-8")
  codes <- c("id", "item", "item_id", "wave", "wave_pre", "wave_post", "grouping", "focal", "reference")
  for (column in setdiff(names(table), c(codes, grep("^cov_", names(table), value = TRUE))))
    table[[column]] <- type.convert(table[[column]], as.is = TRUE)
  table
}

answers <- read("answers.csv")
items <- read("items.csv"); steps <- read("steps.csv"); facts <- read("facts.csv")
dif <- read("dif.csv"); models <- read("models.csv"); links <- read("links.csv"); anchors <- read("anchors.csv")

# ---------------------------------------------------------------- comparing

found <- list()
compare <- function(by, wave, number, what, ours, theirs, tolerance) {
  if (!length(ours)) return(invisible())
  row <- data.frame(by, wave, number, what, ours = as.numeric(ours), theirs = as.numeric(theirs), tolerance)
  row <- row[!is.na(row$ours) & !is.na(row$tolerance), ]
  if (nrow(row)) found[[length(found) + 1]] <<- row
}

installed <- function(package) {
  there <- requireNamespace(package, quietly = TRUE)
  cat(sprintf("%-6s %s\n", package, if (there) as.character(packageVersion(package)) else "not installed: left out"))
  there
}

attempt <- function(by, wave, work) {
  tryCatch(work, error = function(e) {
    message(sprintf("%s at %s failed: %s", by, wave, conditionMessage(e)))
    compare(by, wave, "failed", "-", 0, NA, 0)
  })
}

fact <- function(wave, name, column = "value") {
  facts[[column]][facts$wave == wave & facts$name == name]
}

# ---------------------------------------------------------------- one wave as persons x items

lay_out <- function(rows, names) {
  persons <- unique(rows$id)
  x <- matrix(NA_real_, length(persons), length(names), dimnames = list(persons, names))
  x[cbind(match(rows$id, persons), match(rows$item, names))] <- rows$resp
  x
}

# ---------------------------------------------------------------- item statistics and alpha

find_alpha <- function(x) {
  k <- ncol(x)
  k / (k - 1) * (1 - sum(apply(x, 2, var)) / var(rowSums(x)))
}

check_items <- function(x, mine, wave) {
  total <- rowSums(x, na.rm = TRUE)
  seen <- rowSums(!is.na(x))
  rest <- sapply(colnames(x), function(j) {
    others <- seen - !is.na(x[, j])
    use <- !is.na(x[, j]) & others > 0
    suppressWarnings(cor(x[use, j], (total[use] - x[use, j]) / others[use]))
  })
  complete <- x[rowSums(is.na(x)) == 0, , drop = FALSE]
  compare("base", wave, "n", mine$item_id, mine$n, colSums(!is.na(x)), 0)
  compare("base", wave, "difficulty", mine$item_id, mine$difficulty, colMeans(x, na.rm = TRUE), EXACT)
  compare("base", wave, "sd", mine$item_id, mine$sd, apply(x, 2, sd, na.rm = TRUE), EXACT)
  compare("base", wave, "item_rest_r", mine$item_id, mine$item_rest_r, rest, EXACT)
  compare("base", wave, "alpha_if_deleted", mine$item_id, mine$alpha_if_deleted,
          sapply(seq_len(ncol(x)), function(j) find_alpha(complete[, -j, drop = FALSE])), EXACT)
  compare("base", wave, "alpha", "test", fact(wave, "alpha"), find_alpha(complete), EXACT)
  compare("base", wave, "score_mean", "test", fact(wave, "score_mean"), mean(total), EXACT)
  compare("base", wave, "score_sd", "test", fact(wave, "score_sd"), sd(total), EXACT)
  compare("base", wave, "sem", "test", fact(wave, "sem"), sd(total) * sqrt(1 - find_alpha(complete)), EXACT)
}

check_psych <- function(x, mine, wave) {
  complete <- as.data.frame(x[rowSums(is.na(x)) == 0, , drop = FALSE])
  if (any(sapply(complete, var) == 0)) return(cat("psych takes no item that does not vary: left out at", wave, "\n"))
  theirs <- suppressWarnings(psych::alpha(complete, delete = FALSE, warnings = FALSE))
  compare("psych", wave, "alpha", "test", fact(wave, "alpha"), theirs$total$raw_alpha, EXACT)
  compare("psych", wave, "alpha_low", "test", fact(wave, "alpha", "low"), theirs$feldt$lower.ci[[1]], EXACT)
  compare("psych", wave, "alpha_high", "test", fact(wave, "alpha", "high"), theirs$feldt$upper.ci[[1]], EXACT)
  compare("psych", wave, "alpha_if_deleted", mine$item_id, mine$alpha_if_deleted, theirs$alpha.drop$raw_alpha, EXACT)
  if (nrow(complete) == nrow(x)) {  # elsewhere the rest is another: psych fills nothing in, we take the mean
    compare("psych", wave, "difficulty", mine$item_id, mine$difficulty, theirs$item.stats$mean, EXACT)
    compare("psych", wave, "sd", mine$item_id, mine$sd, theirs$item.stats$sd, EXACT)
    compare("psych", wave, "item_rest_r", mine$item_id, mine$item_rest_r, theirs$item.stats$r.drop, EXACT)
  }
}

# ---------------------------------------------------------------- item response model

# Our parameters: log P(X = k) = k a theta + d_k + constant, as in mirt; ability is N(mean, sd) of facts.csv.
check_likelihood <- function(x, mine, own, model, wave) {
  if (model == "grm") return(cat("The likelihood of a graded model is left to mirt.\n"))
  m <- fact(wave, "ability_mean"); s <- fact(wave, "ability_sd")
  theta <- seq(m - 8 * s, m + 8 * s, length.out = 241)
  weight <- dnorm(theta, m, s); weight <- weight / sum(weight)
  curves <- lapply(colnames(x), function(j) {
    d <- c(0, own$d[own$item_id == j][order(own$step[own$item_id == j])])
    power <- outer(mine$a[mine$item_id == j] * theta, seq_along(d) - 1) + rep(d, each = length(theta))
    power - log(rowSums(exp(power)))  # points x categories
  })
  at <- matrix(log(weight), nrow(x), length(theta), byrow = TRUE)
  for (j in seq_len(ncol(x))) {
    shown <- !is.na(x[, j])
    at[shown, ] <- at[shown, ] + t(curves[[j]])[x[shown, j] + 1, , drop = FALSE]
  }
  high <- apply(at, 1, max)
  compare("base", wave, "loglik", "test", fact(wave, "loglik"), sum(high + log(rowSums(exp(at - high)))), LOGLIK)

  after <- exp(at - high); after <- after / rowSums(after)  # of ability, given the answers
  for (j in seq_len(ncol(x))) {
    shown <- !is.na(x[, j]); name <- colnames(x)[j]
    k <- seq_len(ncol(curves[[j]])) - 1
    seen <- sapply(k, function(one) colSums(after[shown & x[, j] %in% one, , drop = FALSE]))
    gap <- seen - colSums(after[shown, , drop = FALSE]) * exp(curves[[j]])  # points x categories
    ours <- own[own$item_id == name, ][order(own$step[own$item_id == name]), ]
    compare("base", wave, "step_to_top_d", paste(name, ours$step), 0 * ours$d_se, colSums(gap)[-1] * ours$d_se, TOP)
    a_se <- mine$a_se[mine$item_id == name]
    compare("base", wave, "step_to_top_a", name, 0 * a_se, sum(theta * (gap %*% k)) * a_se, TOP)
  }
  sd_se <- fact(wave, "ability_sd", "se")
  compare("base", wave, "step_to_top_sd", "test", 0 * sd_se,
          sum(colSums(after) * ((theta - m)^2 / s^3 - 1 / s)) * sd_se, TOP)
}

check_mirt <- function(x, mine, own, model, wave) {
  type <- c(rasch = "Rasch", pcm = "Rasch", "2pl" = "2PL", gpcm = "gpcm", grm = "graded")[[model]]
  fit <- mirt::mirt(as.data.frame(x), 1, type, SE = TRUE, SE.type = "Oakes", TOL = 1e-7, quadpts = 121, verbose = FALSE,
                    technical = list(NCYCLES = 20000, theta_lim = c(-10, 10)))
  found <- mirt::coef(fit, printSE = TRUE)
  take <- function(name, column, row) {
    table <- found[[name]]
    if (column %in% colnames(table)) table[row, column] else NA
  }
  column <- ifelse(own$step == 1 & !sapply(own$item_id, function(j) "d1" %in% colnames(found[[j]])),
                   "d", paste0("d", own$step))
  label <- paste(own$item_id, own$step)
  compare("mirt", wave, "d", label, own$d, mapply(take, own$item_id, column, "par"), MIRT * own$d_se)
  compare("mirt", wave, "d_se", label, own$d_se, mapply(take, own$item_id, column, "SE"), MIRT_SE * own$d_se)
  if (!model %in% c("rasch", "pcm")) {
    compare("mirt", wave, "a", mine$item_id, mine$a, mapply(take, mine$item_id, "a1", "par"), MIRT * mine$a_se)
    compare("mirt", wave, "a_se", mine$item_id, mine$a_se, mapply(take, mine$item_id, "a1", "SE"), MIRT_SE * mine$a_se)
  } else {
    compare("mirt", wave, "ability_sd", "test", fact(wave, "ability_sd"), sqrt(found$GroupPars["par", "COV_11"]), 0.005)
  }
  compare("mirt", wave, "loglik", "test", fact(wave, "loglik"), mirt::extract.mirt(fit, "logLik"), LOGLIK)
}

# TAM: log P(X = k) = B_k theta + AXsi_k + constant. Its standard errors leave covariances out and are not compared.
check_tam <- function(x, mine, own, model, wave) {
  if (model == "grm") return(cat("TAM has no graded model.\n"))
  control <- list(nodes = seq(-10, 10, length.out = 121), progress = FALSE, conv = 1e-6, maxiter = 5000)
  fit <- switch(model,
    rasch = TAM::tam.mml(x, irtmodel = "1PL", control = control, verbose = FALSE),
    pcm = TAM::tam.mml(x, irtmodel = "PCM", control = control, verbose = FALSE),
    "2pl" = TAM::tam.mml.2pl(x, irtmodel = "2PL", control = control, verbose = FALSE),
    gpcm = TAM::tam.mml.2pl(x, irtmodel = "GPCM", control = control, verbose = FALSE))
  place <- match(own$item_id, colnames(x))
  compare("TAM", wave, "d", paste(own$item_id, own$step), own$d, fit$AXsi[cbind(place, own$step + 1)], TAM * own$d_se)
  if (!model %in% c("rasch", "pcm"))
    compare("TAM", wave, "a", mine$item_id, mine$a, fit$B[match(mine$item_id, colnames(x)), 2, 1], TAM * mine$a_se)
  else
    compare("TAM", wave, "ability_sd", "test", fact(wave, "ability_sd"), sqrt(fit$variance[1]), 0.005)
  compare("TAM", wave, "loglik", "test", fact(wave, "loglik"), -fit$deviance / 2, 0.01)
}

# ---------------------------------------------------------------- differential item functioning

# Persons are matched on the items that 95 % took, less those that purification removed; that is, where it settled,
# those of class B or C. The item under test always belongs to the score.
find_matching <- function(x, rows) {
  taken <- colnames(x)[colMeans(!is.na(x)) >= 0.95]
  flagged <- rows$item_id[rows$p < 0.05 & !(rows$dif_class %in% "A")]
  switch(rows$purified[1],
    settled = list(all = taken, kept = setdiff(taken, flagged)),
    off = list(all = taken, kept = taken))
}

check_contrast <- function(x, persons, rows, wave, with_difr) {
  grouping <- rows$grouping[1]; focal <- rows$focal[1]; reference <- rows$reference[1]
  label <- paste0(grouping, ": ", focal, " / ", reference)
  column <- paste0("cov_", grouping)
  if (!column %in% names(persons)) return(cat("Not told of persons, so not compared:", label, "at", wave, "\n"))
  group <- as.character(persons[[column]])
  matching <- find_matching(x, rows)
  if (is.null(matching)) return(cat("The matching score did not settle, so not compared:", label, "at", wave, "\n"))
  use <- !is.na(group) & rowSums(is.na(x[, matching$all, drop = FALSE])) == 0
  if (reference != "rest") use <- use & group %in% c(focal, reference)
  is_focal <- group[use] == focal
  x <- x[use, , drop = FALSE]
  rows <- rows[rows$method == "mantel_haenszel", ]
  for (i in seq_len(nrow(rows))) {
    item <- rows$item_id[i]
    seen <- !is.na(x[, item])
    score <- rowSums(x[seen, union(matching$kept, item), drop = FALSE])
    cells <- table(factor(!is_focal[seen], c(TRUE, FALSE)), factor(x[seen, item], c(1, 0)), score)
    cells <- cells[, , apply(cells, 3, function(one) all(rowSums(one) > 0)), drop = FALSE]
    theirs <- mantelhaen.test(cells, correct = TRUE)
    what <- paste(label, item)
    z <- diff(log(theirs$conf.int)) / (2 * qnorm(0.975))
    compare("base", wave, "mh_d_dif", what, rows$effect[i], -2.35 * log(theirs$estimate), EXACT)
    compare("base", wave, "mh_d_dif_se", what, rows$effect_se[i], 2.35 * z, EXACT)
    if (rows$statistic[i] > 0) {  # at 0 the continuity correction is larger than the difference
      compare("base", wave, "mh_chi2", what, rows$statistic[i], theirs$statistic, EXACT)
      compare("base", wave, "mh_p", what, rows$p[i], theirs$p.value, EXACT)
    }
  }
  if (with_difr && nrow(rows) && !anyNA(x)) attempt("difR", wave, {
    theirs <- difR::mantelHaenszel(x, as.numeric(is_focal), correct = TRUE, anchor = match(matching$kept, colnames(x)))
    at <- match(rows$item_id, colnames(x))
    what <- paste(label, rows$item_id)
    compare("difR", wave, "mh_d_dif", what, rows$effect, -2.35 * log(theirs$resAlpha[at]), EXACT)
    compare("difR", wave, "mh_d_dif_se", what, rows$effect_se, 2.35 * sqrt(theirs$varLambda[at]), EXACT)
    beyond <- rows$statistic > 0
    compare("difR", wave, "mh_chi2", what[beyond], rows$statistic[beyond], theirs$resMH[at][beyond], EXACT)
  })
}

# ---------------------------------------------------------------- link

# b_post stands on the earlier scale, so the moves of the anchors kept have mean zero by the mean-mean link.
check_link <- function(link) {
  mine <- anchors[anchors$wave_pre == link$wave_pre & anchors$wave_post == link$wave_post &
                    anchors$state %in% c("kept", "review"), ]
  if (!nrow(mine) || !link$method %in% c("none", "mean_mean")) return(invisible())
  wave <- paste(link$wave_pre, link$wave_post)
  move <- mine$b_post - mine$b_pre
  compare("base", wave, "mean_move", "anchors kept", 0, mean(move), EXACT)
  compare("base", wave, "linking_error", "anchors kept", link$linking_error, sd(move) / sqrt(length(move)), EXACT)
}

# ---------------------------------------------------------------- all of it

with <- sapply(c("psych", "mirt", "TAM", "difR"), installed)
for (wave in unique(items$wave)) {
  rows <- answers[answers$wave == wave, ]
  mine <- items[items$wave == wave & items$n > 0, ]
  x <- lay_out(rows, mine$item_id)
  check_items(x, mine, wave)
  if (with[["psych"]] && !anyNA(fact(wave, "alpha"))) attempt("psych", wave, check_psych(x, mine, wave))
  model <- models$model[models$wave == wave]
  own <- steps[steps$wave == wave, ]
  if (length(model) && nrow(own)) {
    used <- x[, colnames(x) %in% own$item_id, drop = FALSE]
    used <- used[rowSums(!is.na(used)) > 0, , drop = FALSE]
    known <- mine[match(colnames(used), mine$item_id), ]
    check_likelihood(used, known, own, model, wave)
    if (with[["mirt"]]) attempt("mirt", wave, check_mirt(used, known, own, model, wave))
    if (with[["TAM"]]) attempt("TAM", wave, check_tam(used, known, own, model, wave))
  }
  persons <- rows[match(rownames(x), rows$id), ]
  here <- dif[dif$wave == wave & dif$method %in% c("mantel_haenszel", "mantel") & !is.na(dif$p), ]
  for (rows in split(here, paste(here$grouping, here$focal, here$reference)))
    check_contrast(x, persons, rows, wave, with[["difR"]])
}
if (!is.null(links)) for (i in seq_len(nrow(links))) check_link(links[i, ])

result <- do.call(rbind, found)
result$difference <- result$theirs - result$ours
result$verdict <- ifelse(is.na(result$theirs), "missing",
                         ifelse(abs(result$difference) <= result$tolerance, "agrees", "differs"))
options(width = 200, max.print = 1e6, digits = 7)
print(result[, c("by", "wave", "number", "what", "ours", "theirs", "difference", "tolerance", "verdict")], row.names = FALSE)
write.csv(result, file.path(folder, "check.csv"), row.names = FALSE)
cat("\n")
print(table(paste(result$by, result$number), result$verdict))
quit(status = if (all(result$verdict == "agrees")) 0 else 1)
