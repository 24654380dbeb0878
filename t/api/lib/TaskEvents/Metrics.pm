package TaskEvents::Metrics;

# A strict reader of Prometheus' text format 0.0.4 (prometheus.io, "Exposition
# formats"): what it objects to, Prometheus or its linter would, too.
#
#   my ($metrics, @wrong) = parse_metrics($text);
#   $metrics->value('name', label => 'value');      # 0 when it is not there

use strict;
use warnings;
use Exporter 'import';

our @EXPORT = qw(parse_metrics);

my $label = qr/([a-zA-Z_]\w*)="((?:[^"\\\n]|\\[\\"n])*)"/;
my $number = qr/[+-]?(?:\d+(?:\.\d+)?(?:e[+-]?\d+)?|Inf)|NaN/;

sub parse_metrics
{
    my ($text) = @_;
    my (%type, %help, %seen, %closed, @samples, @wrong, $family);

    push @wrong, 'the text ends within a line' if $text !~ /\n\z/;
    for my $line (split /\n/, $text, -1) {
        next if $line eq '';
        if ($line =~ /^# (HELP|TYPE) ([a-zA-Z_:]\w*) (.*)$/) {
            my ($what, $name, $rest) = ($1, $2, $3);
            if (!defined $family || $family ne $name) {
                push @wrong, "$name comes in two places" if $closed{$name};
                $closed{$family} = 1 if defined $family;
                $family = $name;
            }
            my $to = $what eq 'HELP' ? \%help : \%type;
            push @wrong, "$what of $name twice" if defined $to->{$name};
            $to->{$name} = $rest;
            push @wrong, "$name has no type $rest" if $what eq 'TYPE' && $rest !~ /^(?:counter|gauge|histogram)$/;
            next;
        }
        if ($line !~ /^(?<name>[a-zA-Z_:]\w*)(?:\{(?<labels>$label(?:,$label)*)\})? (?<value>$number)$/) {
            push @wrong, "no line of the format: $line";
            next;
        }
        my ($name, $labels, $value) = ($+{name}, $+{labels} // '', $+{value});
        my $of = defined $family && ($type{$family} // '') eq 'histogram' ? $name =~ s/_(?:bucket|sum|count)$//r : $name;
        push @wrong, "$name is not below its TYPE" if !defined $family || $of ne $family || !defined $type{$of};
        push @wrong, "$name has no HELP" if !length($help{$of} // '');
        push @wrong, "$line: there twice" if $seen{"$name\{$labels\}"}++;
        push @wrong, "$line: a counter below 0" if ($type{$of} // '') ne 'gauge' && $value < 0;
        my %labels;
        while ($labels =~ /$label/g) {
            push @wrong, "$line: $1 twice" if exists $labels{$1};
            $labels{$1} = $2 =~ s/\\(.)/$1 eq 'n' ? "\n" : $1/gser;
        }
        push @samples, { name => $name, labels => \%labels, value => $value };
    }
    my $self = bless { type => \%type, samples => \@samples }, __PACKAGE__;
    push @wrong, map { $self->histogram_faults($_) } grep { $type{$_} eq 'histogram' } sort keys %type;
    return ($self, @wrong);
}

sub histogram_faults
{
    my ($self, $name) = @_;
    my (@wrong, %last);

    for my $sample (@{ $self->{samples} }) {
        next if $sample->{name} ne "${name}_bucket";
        my %others = %{ $sample->{labels} };
        my $le = delete $others{le} // return "$name: a bucket without a bound";
        my $key = join ',', map { "$_=$others{$_}" } sort keys %others;
        my $bound = $le eq '+Inf' ? 9**9**9 : $le;
        push @wrong, "$name: bounds do not rise" if $last{$key} && $bound <= $last{$key}{bound};
        push @wrong, "$name: buckets fall" if $last{$key} && $sample->{value} < $last{$key}{value};
        $last{$key} = { bound => $bound, value => $sample->{value}, others => \%others };
    }
    for my $last (values %last) {
        push @wrong, "$name: no +Inf" if $last->{bound} != 9**9**9;
        push @wrong, "$name: +Inf is not the count"
            if $last->{value} != $self->value("${name}_count", %{ $last->{others} });
    }
    return @wrong;
}

sub find
{
    my ($self, $name, %labels) = @_;
    return grep {
        my $has = $_->{labels};
        $_->{name} eq $name && !grep { ($has->{$_} // '') ne $labels{$_} } keys %labels;
    } @{ $self->{samples} };
}

sub value { my ($found) = find(@_); return $found ? $found->{value} : 0 }
sub values { return map { $_->{value} } find(@_) }      ## no critic: a method
sub labels { return map { $_->{labels} } find(@_) }
sub has { my ($self, $name) = @_; return exists $self->{type}{$name} }

1;
