# docs/operations/: the alerts fire when they should and else do not, the
# dashboard shows what there is, and the runbook has an entry for each alert and
# leads on from each log code.
use strict;
use warnings;

use File::Temp ();
use JSON::PP ();
use Test::More;
use TaskEvents::Docs qw(read_file src);

my $dir = src() . '/docs/operations';
my $runbook = read_file("$dir/runbook.md");
my $rules = read_file("$dir/rules.yml");
my @alerts = $rules =~ /^ +- alert: (\w+)$/mg;
my $promtool = $ENV{TASKEVENTS_PROMTOOL};

sub keys_of { my %seen = map { $_ => 1 } @_; return [sort keys %seen] }

# What promtool says, and whether it is content.
sub promtool_says {
    my @arguments = @_;
    my $said = qx("$promtool" @arguments 2>&1);

    return ($? == 0, $said);
}

# --- metrics that there are, with their labels -----------------------------------

my %labels;
my $reference = read_file(src() . '/docs/metrics.md');
while ($reference =~ /^\| `(taskevents_\w+)` \| (\w+) \|([^|]*)\|/mg) {
    my ($name, $type, $labels) = ($1, $2, $3);
    my %has = map { $_ => 1 } $labels =~ /`(\w+)`/g;

    $labels{$_} = \%has for $type eq 'histogram' ? map { "${name}_$_" } qw(bucket sum count) : $name;
    $labels{"${name}_bucket"} = {%has, le => 1} if $type eq 'histogram';
}
cmp_ok(scalar keys %labels, '>', 20, 'the metrics are known');

# What Prometheus puts on everything that it scrapes.
my %of_target = (instance => 1, job => 1);

sub check_expression {
    my ($name, $text) = @_;
    my @metrics = $text =~ /\b(taskevents_\w+)/g;
    my %may = (%of_target, map { %{$labels{$_} // {}} } @metrics);

    is_deeply([grep { !$labels{$_} } @metrics], [], "$name: its metrics exist");
    while ($text =~ /\b(taskevents_\w+)\{([^}]*)\}/g) {
        my ($metric, $matchers) = ($1, $2);
        is_deeply([grep { !$of_target{$_} && !$labels{$metric}{$_} } $matchers =~ /(\w+)\s*[=!]/g], [],
                  "$name: $metric has the labels that it asks for");
    }
    my @by = map { /(\w+)/g } $text =~ /\b(?:by|on)\s*\(([^)]*)\)/g;
    is_deeply([grep { !$may{$_} } @by], [], "$name: the labels that it keeps exist") or diag($text);
}

# --- alerts ------------------------------------------------------------------------

cmp_ok(scalar @alerts, '>', 10, 'there are alerts');
is(scalar @alerts, scalar @{keys_of(@alerts)}, 'each name is there once');
for my $rule (split /^ +- alert: /m, ($rules =~ /(^ +- alert: .*)/ms)[0]) {
    my ($alert) = $rule =~ /^(\w+)/ or next;

    check_expression($alert, ($rule =~ /^ +expr: (.*?)^ +(?:for|labels):/ms)[0]);
    like($rule, qr/^ +severity: (?:critical|warning)$/m, "$alert has a severity");
    like($rule, qr{^ +runbook: "docs/operations/runbook\.md#\L$alert\E"$}m, "$alert leads to its entry");
    like($rule, qr/^ +summary: "/m, "$alert says what it is");
}

my %tested;
my $tests = read_file(src() . '/t/docs/alerts.yml');
while ($tests =~ /^ +- alertname: (\w+)\n +eval_time: \w+\n +exp_alerts:(.*)$/mg) {
    ++$tested{$1}{$2 =~ /\[\]/ ? 'silent' : 'fires'};
}
is_deeply([grep { !$tested{$_}{fires} } @alerts], [], 'each alert has a test in which it fires');
is_deeply([grep { !$tested{$_}{silent} } @alerts], [], '… and one in which it does not');

# --- the dashboard -----------------------------------------------------------------

my $dashboard = JSON::PP->new->utf8(0)->decode(read_file("$dir/dashboard.json"));
my @panels = @{$dashboard->{panels}};
my (%id, @expressions, %used);
for my $panel (@panels) {
    my $name = "panel $panel->{title}";

    ok(!$id{$panel->{id}}++, "$name has an id of its own");
    next if $panel->{type} eq 'row';
    is($panel->{datasource}{uid}, '${datasource}', "$name asks the source that was chosen");
    ok(length $panel->{description}, "$name says what it shows");
    ok(@{$panel->{targets}}, "$name shows something");
    for my $target (@{$panel->{targets}}) {
        check_expression("$name $target->{refId}", $target->{expr});
        push @expressions, $target->{expr};
        $used{$_} = 1 for $target->{expr} =~ /\b(taskevents_\w+?)(?:_bucket|_count|_sum)?\b/g;
    }
}
is_deeply([sort grep { !$used{$_} } $reference =~ /^\| `(taskevents_\w+)` \|/mg], [], 'each metric is on the dashboard');
is_deeply([sort grep { !{map { $_ => 1 } @alerts}->{$_} } map { ($_->{description} // "") =~ /Alert: (\w+)/g } @panels], [],
          'the alerts that it names exist');

my @places = map { $_->{gridPos} } @panels;
my @overlapping = grep { my $i = $_; grep { overlap(@places[$i, $_]) } 0 .. $i - 1 } 0 .. $#places;
is_deeply([map { $panels[$_]{title} } @overlapping], [], 'no panel covers another one');

sub overlap {
    my ($p, $q) = @_;

    return $p->{x} < $q->{x} + $q->{w} && $q->{x} < $p->{x} + $p->{w}
        && $p->{y} < $q->{y} + $q->{h} && $q->{y} < $p->{y} + $p->{h};
}

# --- promtool ------------------------------------------------------------------------

SKIP: {
    skip 'TASKEVENTS_PROMTOOL names no promtool', 3 if !$promtool;
    my ($content, $said) = promtool_says('check', 'config', "$dir/prometheus.yml");
    ok($content, 'Prometheus takes the configuration and the rules') or diag($said);
    ($content, $said) = promtool_says('test', 'rules', src() . '/t/docs/alerts.yml');
    ok($content, 'the alerts fire when they should, and else do not') or diag($said);

    # as rules, because that is what this promtool can read
    my $file = File::Temp->new(SUFFIX => '.yml');
    print $file "groups:\n  - name: dashboard\n    rules:\n";
    for my $i (0 .. $#expressions) {
        my $text = $expressions[$i] =~ s/\$__rate_interval/1m/gr =~ s/\$instance/.*/gr;
        print $file "      - record: dashboard:$i\n        expr: " . JSON::PP->new->allow_nonref->encode($text) . "\n";
    }
    close $file;
    ($content, $said) = promtool_says('check', 'rules', $file);
    ok($content, 'Prometheus can read what the dashboard asks') or diag($said);
}

# --- mod_status ------------------------------------------------------------------------

my $section = read_file(src() . '/mod_taskevents/http/server_status.c');
my %line = map { $_ => 1 } $section =~ /(TaskEvents\w+): /g, map { "TaskEvents$_" } $section =~ /\{"([A-Z]\w+)", "/g;
my %told = map { $_ => 1 } map { /`(TaskEvents\w+)`/g } $reference =~ /^\| (`TaskEvents[^|]*) \|/mg;
is_deeply([sort keys %told], [sort keys %line], 'each line of mod_status for programs is explained, and no other');

# --- the runbook ---------------------------------------------------------------------

my ($entries) = $runbook =~ /^## Alerts$(.*?)^## /ms;
my @entries = $entries =~ /^### (\w+)$/mg;
is_deeply(\@entries, \@alerts, 'the runbook has an entry for each alert, in their order, and no other');
for my $entry (split /^### /m, $entries) {
    my ($alert, $text) = $entry =~ /^(\w+)\n(.*)/s or next;
    like($text, qr/^\n\*[^*\n]+\.\*/, "$alert: it begins with what it means");
    like($text, qr/^1\. |\]\(#taskevents|`count by/m, "… and says what to do");
}

my ($table) = $runbook =~ /^## Log codes$(.*)/ms;
my (%level, %wants);
my $codes = read_file(src() . '/docs/log-codes.md');
while ($codes =~ /^\| (TE\d{4}) \| ([^|]+?) \| [^|]+ \| ([^|]+?) \|$/mg) {
    ($level{$1}, $wants{$1}) = ($2, $3);
}
is_deeply([sort keys %wants], keys_of($codes =~ /^\| (TE\d{4}) /mg), 'each log code says what to do');
my @serious = grep { $level{$_} =~ /warning|err|crit|alert|emerg/ } sort keys %level;
my @led = map { /(TE\d{4})/g } $table =~ /^\| (TE\d{4}[^|]*) \|/mg;
is_deeply([sort @led], \@serious, 'the runbook leads on from each code of level warning and above, once, and from no other');

done_testing();
