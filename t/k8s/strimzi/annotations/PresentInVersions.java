package io.strimzi.crdgenerator.annotations;

import java.lang.annotation.Retention;
import java.lang.annotation.RetentionPolicy;

/** What we read of Strimzi's annotation of that name. */
@Retention(RetentionPolicy.RUNTIME)
public @interface PresentInVersions {
    String value();
}
